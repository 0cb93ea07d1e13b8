"""The runs of a folder, kept open."""

import shutil

import pytest

from gradlens.runlog import Run, RunError
from gradlens.runlog.reading.library import RunLibrary
from tests.runlog.made import measurement, write_run


def test_a_library_shows_the_same_snapshot_until_something_is_new(tmp_path):
    writer = write_run(tmp_path / "a", range(10), close=False)
    write_run(tmp_path / "b", range(5))
    (tmp_path / "b" / "run.json").write_text("[]")
    library = RunLibrary(tmp_path)
    first = library.look()
    assert isinstance(first["b"], Run)
    assert first["b"].warnings
    assert library.look(now=True)["a"] is first["a"]
    writer.append(measurement(10))
    writer.flush()
    assert library.look()["a"] is first["a"]  # somebody has looked a moment ago
    later = library.look(now=True)
    assert (len(first["a"]), len(later["a"])) == (10, 11)
    assert later["b"] is first["b"]
    writer.close()
    shutil.rmtree(tmp_path / "a")
    write_run(tmp_path / "c" / "d", [1])
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "run.json").write_text("{")
    found = library.look(now=True)
    assert sorted(found) == ["b", "c/d", "e"]
    assert isinstance(found["e"], RunError)
    with pytest.raises(RunError, match="is no folder"):
        RunLibrary(tmp_path / "nowhere").look()
