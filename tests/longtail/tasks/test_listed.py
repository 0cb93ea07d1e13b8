"""Tasks from published lists of images."""

import pytest
import torch
from PIL import Image

from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.methods import CE, DUAL_PHASE
from gradlens.longtail.tasks.listed import LISTED, listed_task
from gradlens.longtail.training.fit import fit

IMAGENET = {
    "ImageNet_LT_train.txt": {"train/n0{c}/n0{c}_{i}.JPEG": {0: 2, 1: 24, 2: 5}},
    "ImageNet_LT_val.txt": {"train/n0{c}/n0{c}_9{i}.JPEG": {0: 1, 1: 1, 2: 1}},
    "ImageNet_LT_test.txt": {"val/n0{c}/ILSVRC2012_val_0000{c}{i}.JPEG": {0: 1, 1: 1, 2: 1}},
}


PLACES = {
    "Places_LT_train.txt": {"data_256/a/airfield/0000000{i}.jpg": {0: 3}, "data_256/b/bar/outdoor/{i}.jpg": {1: 22}},
    "Places_LT_val.txt": {"val_256/Places365_val_0{c}{i}.jpg": {0: 1, 1: 1}},
    "Places_LT_test.txt": {"val_256/Places365_val_1{c}{i}.jpg": {0: 2, 1: 1}},
}


INATURALIST = {
    "iNaturalist18_train.txt": {"train_val2018/Plantae/{c}/a{i}.jpg": {0: 21, 1: 2, 2: 30}},
    "iNaturalist18_val.txt": {"train_val2018/Aves/{c}/b{i}.jpg": {0: 1, 1: 1, 2: 1}},
}


def write(root, lists, move=lambda path: path):
    for file, patterns in lists.items():
        lines = []
        for pattern, counts in patterns.items():
            for c, count in counts.items():
                for i in range(count):
                    listed = pattern.format(c=c, i=i)
                    path = root / move(listed)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (20, 16), (60 * c, 4 * i, 0)).save(path, "JPEG")
                    lines.append(f"{listed} {c}")
        (root / file).write_text("\n".join(lines) + "\n")
    return root


def test_imagenet_lt(tmp_path):
    task = listed_task("imagenet-lt", write(tmp_path, IMAGENET), size=32)
    assert task.counts.tolist() == [24, 5, 2]
    assert task.train.class_names == ("n01", "n02", "n00")
    assert list(task.evaluations) == ["val", "test"]
    # listed order is 0 1 2, which is now 2 0 1
    assert task.evaluations["test"].labels.tolist() == [2, 0, 1]
    recipe = CE.on(task, {"backbone": "resnet-10", "epochs": 1})
    assert (recipe.phases[0].batch, recipe.phases[0].sgd.learning_rate) == (128, 0.05)
    fitted = fit(recipe, task)
    assert set(fitted.final) == {"val", "test"}
    assert fitted.split == "val"


def test_imagenet_validation_images_may_lie_flat(tmp_path):
    flat = write(tmp_path, IMAGENET, lambda path: "val/" + path.split("/")[-1] if path.startswith("val") else path)
    assert len(listed_task("imagenet-lt", flat, size=32).evaluations["test"].labels) == 3


@pytest.mark.parametrize(
    "move",
    [
        lambda path: path,
        lambda path: path.replace("data_256/a/", "train/").replace("data_256/b/", "train/").replace("val_256", "val"),
        lambda path: path.replace("data_256/a/", "train/").replace("data_256/b/bar/outdoor", "train/bar-outdoor"),
    ],
    ids=["as listed", "train/CATEGORY", "train/CATEGORY-SUBCATEGORY"],
)
def test_places_lt_in_either_layout(tmp_path, move):
    task = listed_task("places-lt", write(tmp_path, PLACES, move), size=32)
    assert task.counts.tolist() == [22, 3]
    assert task.train.class_names == ("outdoor", "airfield")
    images, labels = next(task.train.batches(torch.arange(25), 25, augmented=False))
    assert images.shape == (25, 3, 32, 32)
    assert labels.tolist() == [1] * 3 + [0] * 22
    # class 1 of the list is redder: the images are those of the labels
    assert images[labels == 0, 0].mean() > images[labels == 1, 0].mean()
    recipe = CE.on(task, {"pretrained": None})
    assert recipe.phases[0].sgd.parts == {"classifier": 0.05}
    assert [recipe.phases[0].schedule.factor(epoch, 60) for epoch in (19, 20, 40)] == pytest.approx([1, 0.1, 0.01])


def test_the_digest_names_images_and_labels_wherever_they_lie(tmp_path):
    def digest(root):
        return listed_task("places-lt", root, size=32).train.digest

    first, moved = write(tmp_path / "a", PLACES), write(tmp_path / "b", PLACES, lambda p: p.replace("val_256", "val"))
    assert digest(first) == digest(moved) != ""
    listing = first / "Places_LT_train.txt"
    lines = listing.read_text().splitlines()
    # two images change places: each class has as many as before
    lines[0], lines[-1] = (f"{lines[a].rsplit(' ', 1)[0]} {lines[b][-1]}" for a, b in ((0, -1), (-1, 0)))
    listing.write_text("\n".join(lines) + "\n")
    assert listed_task("places-lt", first, size=32).counts.tolist() == [22, 3]
    assert digest(first) != digest(moved)


def test_inaturalist_has_no_test_split(tmp_path):
    task = listed_task("inaturalist2018", write(tmp_path, INATURALIST), size=32)
    assert task.counts.tolist() == [30, 21, 2]
    assert list(task.evaluations) == ["val"]
    fitted = fit(DUAL_PHASE.on(task, {"backbone": "resnet-10", "epochs": 1, "batch": 32}), task)
    # C1 = 2 classes have 20 images: 2 x 10 exemplars and the 2 of the tail
    assert len(fitted.learner.selected) == 22


def test_validation_images_come_from_the_list_where_there_is_no_test_split(tmp_path):
    root = write(tmp_path, INATURALIST)
    task = listed_task("inaturalist2018", root, size=32, validation=1)
    assert task.counts.tolist() == [29, 20, 1]
    assert list(task.evaluations) == ["validation", "val"]
    assert task.evaluations["validation"].labels.tolist() == [1, 2, 0]  # in the order of the list
    assert task.held_out.lost == 3
    assert task.train.digest != listed_task("inaturalist2018", root, size=32).train.digest
    pixels = [
        next(images.batches(torch.arange(len(images.labels)), 99, augmented=False))[0]
        for images in (task.train, task.evaluations["validation"])
    ]
    assert not (pixels[0][:, None] == pixels[1]).flatten(2).all(2).any()  # every file has a colour of its own
    with pytest.raises(LongTailError, match="ImageNet-LT has a validation split of its own"):
        listed_task("imagenet-lt", write(tmp_path / "other", IMAGENET), size=32, validation=1)


@pytest.mark.parametrize("name", LISTED)
def test_missing_lists_are_named_with_their_origin(tmp_path, name):
    with pytest.raises(DatasetNotFoundError, match=r"train\.txt.*not in .*lists from the repository of"):
        listed_task(name, tmp_path)


def test_missing_images_are_counted_and_the_first_is_named(tmp_path):
    root = write(tmp_path, IMAGENET)
    for name in ("n01/n01_3.JPEG", "n02/n02_0.JPEG"):
        (root / "train" / name).unlink()
    with pytest.raises(DatasetNotFoundError, match=r"2 of 31 images .* the first is train/n01/n01_3.JPEG"):
        listed_task("imagenet-lt", root)


def test_classes_must_fit(tmp_path):
    root = write(tmp_path, IMAGENET)
    listing = root / "ImageNet_LT_val.txt"
    listing.write_text(listing.read_text().replace(" 2", " 7"))
    with pytest.raises(LongTailError, match="class 7, which the training list does not have"):
        listed_task("imagenet-lt", root)
    listing = root / "ImageNet_LT_train.txt"
    listing.write_text(listing.read_text().replace(" 2", " 3"))
    with pytest.raises(LongTailError, match=r"1 of [0-9]+ classes have no training image"):
        listed_task("imagenet-lt", root)
