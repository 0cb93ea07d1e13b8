"""Lists of images: their lines, and the layouts of Places."""

import pytest

from gradlens.longtail.data.list_files import places_layouts, read_list
from gradlens.longtail.errors import LongTailError


def test_places_layouts_lead_back():
    assert "train/airfield/1.jpg" in places_layouts("data_256/a/airfield/1.jpg")
    assert "data_256/a/airfield/1.jpg" in places_layouts("train/airfield/1.jpg")
    assert "data_256/b/bar/outdoor/1.jpg" in places_layouts("train/bar-outdoor/1.jpg")


@pytest.mark.parametrize("line", ["train/x.jpg", "train/x.jpg one", "7"])
def test_a_line_of_another_form_is_named(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"\n{line}\n")
    with pytest.raises(LongTailError, match="line 2 of"):
        read_list(tmp_path / "list.txt", tmp_path)
