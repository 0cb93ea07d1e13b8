"""How a writer gets its folder: a new one, or one to resume."""

import os
import subprocess
import sys

import pytest

from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunError, RunExistsError, RunMeta, RunWriter
from tests.runlog.made import GROUPS, fill, meta, write_run


def test_start_time_and_facts_stay(tmp_path):
    RunWriter(tmp_path, RunMeta(meta().groups, extra={"a": 1, "b": 1})).close("failed", "x")
    started = Run(tmp_path).meta.started
    writer = RunWriter(tmp_path, RunMeta(meta().groups, extra={"b": 2}, seed=4), resume=True)
    run = Run(tmp_path)
    assert (run.meta.started, run.meta.seed, run.meta.ended) == (started, 4, None)
    assert {k: run.meta.extra[k] for k in "ab"} == {"a": 1, "b": 2}
    assert (run.status.state, run.status.reason) == ("running", None)
    assert writer.session == 1
    writer.close()


def test_resume_of_nothing_starts(tmp_path):
    writer = RunWriter(tmp_path / "new", meta(), resume=True)
    assert writer.session == 0
    writer.close()


def test_other_groups_are_refused(tmp_path):
    write_run(tmp_path, [1])
    groups = ClassGroups({"many": [0], "few": [1]}, 4).to_json()
    with pytest.raises(RunError, match=r"other groups \(head, tail\) than this training \(many, few\)"):
        RunWriter(tmp_path, RunMeta(groups), resume=True)
    writer = RunWriter(tmp_path, meta(), resume=True)
    with pytest.raises(RunError, match="groups of a run cannot change"):
        writer.update_meta(groups=groups)
    writer.close()


def test_an_existing_folder_is_refused(tmp_path):
    write_run(tmp_path / "run", [1])
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(
        RunExistsError,
        match=r"already exists and holds measurements-000\.arrows, run\.json; choose.*\(out=\).*\(resume=True\)$",
    ):
        RunWriter(tmp_path / "run", meta())
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunExistsError, match="is a file"):
        RunWriter(tmp_path / "file", meta())
    with pytest.raises(RunError, match=r"cannot make the folder .*Not a directory"):
        RunWriter(tmp_path / "file" / "run", meta())
    (tmp_path / "empty").mkdir()
    RunWriter(tmp_path / "empty", meta()).close()
    assert Run(tmp_path / "empty").status.state == "finished"


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(RunError, match=r"holds no run\.json"):
        RunWriter(tmp_path, meta(), resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_groups_are_asked_for(tmp_path):
    from gradlens.runlog import RunMeta

    with pytest.raises(RunError, match="ClassGroups"):
        RunWriter(tmp_path / "run", RunMeta({}))
    assert not (tmp_path / "run").exists()


def test_a_read_only_folder_is_refused(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RunError, match=r"cannot make the folder .*Read-only file system; choose another with --out"):
        RunWriter(small_disk / "run", meta())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(RunError, match="Permission denied"):
        RunWriter(tmp_path / "locked" / "run", meta())
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o500)
    with pytest.raises(RunError, match=r"cannot write .*run\.json: Permission denied"):
        RunWriter(tmp_path / "open", meta())


def test_no_room_for_the_description_is_an_error_at_once(small_disk):
    fill(small_disk)
    with pytest.raises(RunError, match="No space left"):
        RunWriter(small_disk / "run", meta(hyperparameters={"long": "x" * 100_000}))


def test_of_two_processes_that_start_at_once_one_gets_the_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tests.runlog.made import fill, meta\n"
        "from gradlens.runlog import RunWriter, RunExistsError\n"
        "won = 0\n"
        "for n in range(20):\n"
        "    try:\n"
        "        RunWriter(Path(sys.argv[1]) / str(n), meta()).close(); won += 1\n"
        "    except RunExistsError: pass\n"
        "print(won)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    won = [int(process.communicate()[0]) for process in both]
    assert sum(won) == 20
    assert len(list(tmp_path.iterdir())) == 20
    assert len(GROUPS) == 2
