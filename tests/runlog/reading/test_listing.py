"""All runs beneath a folder."""

import shutil

import pytest

from gradlens.runlog import RunError, list_runs
from tests.runlog.made import write_run


def test_listing(tmp_path):
    write_run(tmp_path / "b", [1])
    write_run(tmp_path / "deep" / "er" / "a", [1, 2])
    write_run(tmp_path / "broken", [])
    (tmp_path / "broken" / "run.json").write_text("{")
    for name in ("empty", ".hidden", "1/2/3/4"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copytree(tmp_path / "b", tmp_path / "1/2/3/4/too_deep")
    found = list_runs(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path, _ in found] == ["b", "broken", "deep/er/a"]
    assert "is damaged" in str(found[1][1])
    assert len(found[2][1]) == 2
    assert list_runs(tmp_path / "b")[0][0] == tmp_path / "b"
    with pytest.raises(RunError, match="is no folder"):
        list_runs(tmp_path / "nowhere")


def test_hidden_runs_are_listed(tmp_path):
    write_run(tmp_path / ".hidden", range(3))
    (tmp_path / ".git" / "deep").mkdir(parents=True)
    assert [path.name for path, _ in list_runs(tmp_path)] == [".hidden"]


def test_runs_are_listed_once_where_a_link_leads_back(tmp_path):
    write_run(tmp_path / "runs" / "a", [1])
    write_run(tmp_path / "elsewhere" / "b", [1])
    (tmp_path / "runs" / "back").symlink_to(".")
    (tmp_path / "runs" / "inner").mkdir()
    (tmp_path / "runs" / "inner" / "up").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere")
    found = list_runs(tmp_path / "runs")
    assert [str(path.relative_to(tmp_path / "runs")) for path, _ in found] == ["a", "linked/b"]
