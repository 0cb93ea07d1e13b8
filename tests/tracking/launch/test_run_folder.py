"""Where a run goes: a new folder each time, never one that holds something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradlens.tracking.errors import TrackError
from gradlens.tracking.launch.run_folder import make_folder, remove_if_empty


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_run_gets_the_next_free_name(here):
    assert [make_folder(None, None, "train").relative_to(here).as_posix() for _ in range(3)] == [
        "runs/train",
        "runs/train-2",
        "runs/train-3",
    ]
    assert make_folder(None, None, "other") == here / "runs" / "other"


def test_a_folder_that_was_asked_for_is_made_with_those_above(here):
    assert make_folder(Path("a/b"), None, "train") == here / "a" / "b"
    assert make_folder(None, "mine", "train") == here / "runs" / "mine"
    assert list((here / "a" / "b").iterdir()) == []
    (here / "empty").mkdir()
    assert make_folder(Path("empty"), None, "train") == here / "empty"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_names_that_are_paths_are_refused(name):
    with pytest.raises(TrackError, match="is no name of a folder below runs/"):
        make_folder(None, name, "train")


def test_a_folder_that_holds_something_is_never_written_to(here):
    (here / "full").mkdir()
    (here / "full" / "mine").write_text("x")
    with pytest.raises(TrackError, match=r"^--out full: .*exists and is not empty"):
        make_folder(Path("full"), None, "train")
    assert (here / "full" / "mine").read_text() == "x"


def test_a_file_in_its_place_is_named(here):
    (here / "file").write_text("x")
    with pytest.raises(TrackError, match=r"^--out file/run: cannot write to .*; choose another folder"):
        make_folder(Path("file/run"), None, "train")
    (here / "runs").write_text("x")
    with pytest.raises(TrackError, match="choose a folder with --out"):
        make_folder(None, None, "train")


def test_two_trainings_cannot_ask_for_one_folder(here):
    code = "import sys; from pathlib import Path; from gradlens.tracking.launch.run_folder import make_folder\n"
    code += "make_folder(Path('one'), None, 'x'); print('made', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ) as other:
        assert other.stdout.readline() == "made\n"
        with pytest.raises(TrackError, match="another training is about to write to"):
            make_folder(Path("one"), None, "train")
        other.stdin.close()
    assert other.returncode == 0
    assert make_folder(Path("one"), None, "train") == here / "one"


def test_only_an_empty_folder_is_removed(here):
    for name in ("empty", "full"):
        (here / name).mkdir()
    (here / "full" / "x").touch()
    for name in ("empty", "full", "nowhere"):
        remove_if_empty(here / name)
    assert [path.name for path in here.iterdir()] == ["full"]
