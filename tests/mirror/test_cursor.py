"""The cursor comes back as it was kept; a file of somebody else is none."""

import json

import pytest

from gradlens.mirror.cursor import Cursor, cursor_path
from gradlens.mirror.errors import MirrorError


def test_a_cursor_comes_back(tmp_path):
    cursor = Cursor(7, 1.5, {"0": 0, "1": 4}, 3, {"val/loss": 2}, 5)
    path = cursor_path(tmp_path, "tensorboard", "/logs/a")
    cursor.write(path, "/logs/a")
    assert Cursor.read(path) == cursor
    assert Cursor.read(cursor_path(tmp_path, "tensorboard", "/logs/b")) == Cursor()
    assert path.name.startswith("mirror-tensorboard-")


def test_a_later_version_may_add_to_it(tmp_path):
    Cursor(3).write(tmp_path / "c", "p")
    found = json.loads((tmp_path / "c").read_text())
    (tmp_path / "c").write_text(json.dumps({**found, "more": 1}))
    assert Cursor.read(tmp_path / "c") == Cursor(3)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "other"}', "\xff"])
def test_another_file_is_no_cursor(tmp_path, text):
    (tmp_path / "c").write_text(text)
    with pytest.raises(MirrorError, match="is damaged"):
        Cursor.read(tmp_path / "c")


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(MirrorError, match="cannot keep how far the run was mirrored"):
        Cursor().write(tmp_path / "none" / "c", "p")
