"""Loading CIFAR from both packagings, and what is said when it is not there."""

import hashlib
import io
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gradlens.longtail.data.cifar import load_cifar
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError


def write_parquet(path, images, labels, column="fine_label", kind=None):
    def png(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        return file.getvalue()

    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = pa.array(
        [{"bytes": png(image), "path": None} for image in images],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    pq.write_table(pa.table({"img": pictures, column: pa.array(labels, kind or pa.int64())}), path)


@pytest.fixture
def small(tmp_path):
    """Two train files and one test file of random pictures; three classes."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (12, 4))
    labels = np.arange(12) % 3
    folder = tmp_path / "cifar100"
    write_parquet(folder / "train-00000-of-00002.parquet", train[:7], labels[:7])
    write_parquet(folder / "train-00001-of-00002.parquet", train[7:], labels[7:])
    write_parquet(folder / "test-00000-of-00001.parquet", test, [0, 1, 2, 0])
    return tmp_path, train, labels


@pytest.mark.parametrize("inner", ["", "cifar100"])
def test_parquet_files_are_read_pixel_exact(small, inner):
    root, train, labels = small
    split = load_cifar(root / inner).train.image_set()
    assert split.images.dtype == torch.uint8
    np.testing.assert_array_equal(split.images.permute(0, 2, 3, 1).numpy(), train)
    assert split.labels.tolist() == labels.tolist()
    assert split.num_classes == 3


def test_subsets_of_parquet_files_hold_the_right_images(small):
    root, train, _ = small
    data = load_cifar(root)
    subset = data.long_tailed(4)
    assert subset.counts().tolist() == [4, 2, 1]
    for image, label in zip(subset.images, subset.labels, strict=True):
        position = int(np.flatnonzero((train == image.permute(1, 2, 0).numpy()).all((1, 2, 3)))[0])
        assert position % 3 == label
    assert data.balanced(7).counts().tolist() == [3, 2, 2]
    assert subset.digest != data.balanced(7).digest != ""


def test_the_cache_is_used_only_where_asked_for_and_follows_the_files(small, tmp_path):
    root, train, labels = small
    before = set(root.rglob("*"))
    load_cifar(root).train.image_set()
    assert set(root.rglob("*")) == before
    cache = tmp_path / "cache"
    for _ in range(2):
        np.testing.assert_array_equal(
            load_cifar(root, cache=cache).train.image_set().images.permute(0, 2, 3, 1).numpy(), train
        )
    assert len(list(cache.iterdir())) == 1
    write_parquet(root / "cifar100" / "train-00000-of-00002.parquet", 255 - train[:7], labels[:7])
    np.testing.assert_array_equal(
        load_cifar(root, cache=cache).train.image_set().images[0].permute(1, 2, 0).numpy(), 255 - train[0]
    )


def test_the_environment_and_the_data_folder_are_looked_at(small, monkeypatch, tmp_path):
    root, _, _ = small
    monkeypatch.setenv("GRADLENS_DATA", str(root))
    assert "Parquet" in load_cifar().source
    monkeypatch.delenv("GRADLENS_DATA")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(root)
    assert len(load_cifar().test.labels) == 4


def test_missing_data_says_where_it_looked_and_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADLENS_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFoundError) as caught:
        load_cifar()
    for part in (
        str(tmp_path / "elsewhere"),
        f"  {tmp_path}/data/cifar100\n",
        "download=True",
        "GRADLENS_DATA",
        "train-*.parquet",
    ):
        assert part in str(caught.value)
    with pytest.raises(DatasetNotFoundError) as caught:
        load_cifar(tmp_path / "given")
    assert "elsewhere" not in str(caught.value)


def test_wrong_columns_are_named(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}-0.parquet", np.zeros((1, 32, 32, 3), np.uint8), [0], column="label")
    with pytest.raises(LongTailError, match=r"label: int64.*needed are.*fine_label"):
        load_cifar(tmp_path)
    assert len(load_cifar(tmp_path, "cifar10").train.labels) == 1


@pytest.mark.parametrize(
    ("labels", "kind", "says"),
    [
        (["apple", "bear"], pa.string(), r"fine_label: string\); needed are .* fine_label: int64"),
        ([0.0, 1.0], pa.float64(), r"fine_label: double\); needed are .* fine_label: int64"),
        ([0, None], pa.int64(), r"1 nulls in its 2 rows of fine_label; needed is a class id from 0 to 99"),
        ([0, 100], pa.int64(), r"the fine_label 100 in row 1; needed is a class id from 0 to 99"),
        ([-1, 0], pa.int64(), r"the fine_label -1 in row 0"),
        ([], pa.int64(), r"0 nulls in its 0 rows"),
    ],
    ids=str,
)
def test_labels_that_are_no_class_ids_are_named(tmp_path, labels, kind, says):
    for split in ("train", "test"):
        images = np.zeros((len(labels), 32, 32, 3), np.uint8)
        write_parquet(tmp_path / f"{split}-0.parquet", images, labels, kind=kind)
    with pytest.raises(LongTailError, match=f"train-0.parquet has .*{says}"):
        load_cifar(tmp_path)


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}-0.parquet").write_bytes(b"no parquet")
    with pytest.raises(LongTailError, match=r"train-0.parquet cannot be read"):
        load_cifar(tmp_path)


def test_a_picture_of_the_wrong_size_is_named(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}-0.parquet", np.zeros((1, 16, 16, 3), np.uint8), [0])
    with pytest.raises(LongTailError, match="image 0 of"):
        load_cifar(tmp_path).train.image_set()


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """A folder in torchvision's layout, with the checksums that torchvision expects set to its files."""
    import torchvision

    rng = np.random.default_rng(1)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    train = rng.integers(0, 256, (6, 3072), dtype=np.uint8)
    contents = {
        "train": {"data": train, "fine_labels": [0, 1, 0, 1, 0, 1]},
        "test": {"data": train[:2], "fine_labels": [1, 0]},
        "meta": {"fine_label_names": ["apple", "bear"]},
    }
    digests = {}
    for name, content in contents.items():
        raw = pickle.dumps(content)
        (folder / name).write_bytes(raw)
        digests[name] = hashlib.md5(raw).hexdigest()
    kind = torchvision.datasets.CIFAR100
    monkeypatch.setattr(kind, "train_list", [["train", digests["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", digests["test"]]])
    monkeypatch.setattr(kind, "meta", {"filename": "meta", "key": "fine_label_names", "md5": digests["meta"]})
    return tmp_path, train


@pytest.mark.parametrize("inner", ["", "cifar-100-python"])
def test_torchvisions_download_is_read(downloaded, inner):
    root, train = downloaded
    data = load_cifar(root / inner)
    split = data.train.image_set()
    np.testing.assert_array_equal(split.images.reshape(6, -1).numpy(), train)
    assert split.class_names == ("apple", "bear")
    assert data.long_tailed(3).counts().tolist() == [3, 1]


def test_a_damaged_download_is_refused_before_it_is_unpickled(downloaded):
    root, _ = downloaded
    (root / "cifar-100-python" / "train").write_bytes(b"anything")
    with pytest.raises(LongTailError, match="damaged"):
        load_cifar(root)


def test_real_cifar100(cifar100_root):
    data = load_cifar(cifar100_root)
    assert (len(data.train.labels), len(data.test.labels)) == (50000, 10000)
    assert (data.train.class_names[0], data.train.class_names[99]) == ("apple", "worm")
    rare = data.long_tailed(200)
    assert len(rare) == 9502
    assert rare.counts()[[0, 99]].tolist() == [500, 2]
    # Mean and spread of the pixels of all of CIFAR-100 are (.507, .487, .441) and (.267, .256, .276).
    pixels = rare.images.double() / 255
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.tensor([0.507, 0.487, 0.441]).double(), atol=0.03)
    assert torch.allclose(pixels.std((0, 2, 3)), torch.tensor([0.267, 0.256, 0.276]).double(), atol=0.03)
