"""Data sets by name."""

import pytest
from PIL import Image

from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.tasks.loading import load_task


def test_unknown_data_sets_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="cifar100-lt"):
        load_task("cifar-100")
    with pytest.raises(LongTailError, match="leave --imbalance"):
        load_task("places-lt", data=tmp_path, imbalance=10)


def test_lists_are_looked_for_in_the_folder_or_in_one_named_after_the_data_set(tmp_path, monkeypatch):
    within = tmp_path / "inaturalist2018"
    within.mkdir()
    for split in ("train", "val"):
        lines = [f"{split}/{number}.jpg {number % 2}" for number in range(4)]
        (within / f"iNaturalist18_{split}.txt").write_text("\n".join(lines))
        (within / split).mkdir()
        for number in range(4):
            Image.new("RGB", (8, 8)).save(within / split / f"{number}.jpg")
    monkeypatch.chdir(within)
    monkeypatch.delenv("GRADLENS_DATA", raising=False)
    assert load_task("inaturalist2018", data=within).source == str(within)
    assert load_task("inaturalist2018", data=tmp_path).source == str(within)
    with pytest.raises(DatasetNotFoundError, match=f"not in {within}/data/inaturalist2018"):
        load_task("inaturalist2018")
    monkeypatch.setenv("GRADLENS_DATA", str(tmp_path))
    assert load_task("inaturalist2018").source == str(within)
    with pytest.raises(DatasetNotFoundError, match=f"not in {within}/elsewhere"):
        load_task("inaturalist2018", data="elsewhere")
    (within / "iNaturalist18_val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LongTailError, match="cannot be read as a list of images"):
        load_task("inaturalist2018")


def test_the_digits_by_name():
    assert load_task("digits").counts.tolist() == [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    assert load_task("digits", balanced=True).counts.tolist() == load_task("digits").counts.tolist()
