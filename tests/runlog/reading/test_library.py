"""The runs of a folder at each look."""

import os
import shutil
import time

import pytest

from gradlens.runlog import NotARun, RunError
from gradlens.runlog.reading import folders
from gradlens.runlog.reading.library import FoundRun, RunLibrary
from tests.runlog.made import measurement, write_run


def test_a_library_shows_the_same_until_something_is_new(tmp_path):
    writer = write_run(tmp_path / "a", range(10), close=False)
    write_run(tmp_path / "b", range(5))
    (tmp_path / "b" / "run.json").write_text("[]")
    library = RunLibrary(tmp_path)
    first = library.look()
    runs = {name: library.open(name) for name in first}
    assert runs["b"].warnings
    assert library.look(now=True) is first
    assert library.open("a") is runs["a"]
    writer.append(measurement(10))
    writer.flush()
    assert library.look() is first  # somebody has looked a moment ago
    later = library.look(now=True)
    assert (len(runs["a"]), len(library.open("a"))) == (10, 11)
    assert later["b"] is first["b"]
    assert library.open("b") is runs["b"]
    writer.close()
    shutil.rmtree(tmp_path / "a")
    write_run(tmp_path / "c" / "d", [1])
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "run.json").write_text("{")
    assert sorted(library.look(now=True)) == ["b", "c/d", "e"]
    with pytest.raises(RunError, match="is damaged"):
        library.open("e")
    with pytest.raises(KeyError):
        library.open("a")
    with pytest.raises(RunError, match="is no folder"):
        RunLibrary(tmp_path / "nowhere").look()


def test_a_look_looks_only_into_folders_that_have_changed(tmp_path, monkeypatch):
    for name in ("a", "deep/b", "deep/c"):
        write_run(tmp_path / name, range(3))
    time.sleep(2 * folders.TICK_SECONDS)
    library = RunLibrary(tmp_path)
    first = library.look(now=True)
    looked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked.append(os.fspath(folder)) or scandir(folder))
    assert library.look(now=True) is first
    assert looked == []
    (tmp_path / "deep" / "b" / "events.jsonl").touch()
    write_run(tmp_path / "deep" / "d", range(2))
    looked.clear()
    assert sorted(library.look(now=True)) == ["a", "deep/b", "deep/c", "deep/d"]
    assert {str(tmp_path / "a"), str(tmp_path / "deep" / "c"), str(tmp_path)}.isdisjoint(looked)


def test_a_folder_that_cannot_be_searched_is_an_error_beside_the_runs(tmp_path, monkeypatch):
    write_run(tmp_path / "a", range(3))
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refusing(folder):
        if os.fspath(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    library = RunLibrary(tmp_path)
    found = library.look(now=True)
    assert isinstance(found["a"], FoundRun)
    assert str(found["locked"]) == f"cannot read the folder {tmp_path / 'locked'}: Permission denied"
    assert library.look(now=True) is found
    with pytest.raises(RunError, match="cannot read the folder"):
        library.open("locked")


def test_a_run_that_has_gone_since_the_look_is_an_error(tmp_path):
    write_run(tmp_path / "a", range(3))
    library = RunLibrary(tmp_path)
    library.look()
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(NotARun):
        library.open("a")
