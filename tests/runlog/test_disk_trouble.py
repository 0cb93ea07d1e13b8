"""Folders that cannot be used are errors at once; a disk that fails later costs one warning and never the training."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

from gradlens.runlog import Run, RunError, RunExistsError, RunLogWarning, RunWriter
from gradlens.runlog.writing import backlog
from tests.runlog.made import GROUPS, measurement, meta, wait_for, write_run


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 0.05)


def fill(folder):
    with open(folder / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def log(writer, steps, *, flushes=1, close=False):
    for step in steps:
        writer.append(measurement(step))
    for _ in range(flushes):
        writer.flush()
    if close:
        writer.close()


def test_full_disk_warns_once_and_loses_nothing_when_there_is_room_again(small_disk):
    writer = RunWriter(small_disk / "run", meta())
    for step in range(100):
        writer.append(measurement(step))
    writer.flush()
    fill(small_disk)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(100, 400):
            writer.append(measurement(step))
            if step % 50 == 0:
                writer.flush()
        writer.event("mark", 399, text="while full")
        writer.update_meta(seed=5)
        writer.flush()
        live = Run(small_disk / "run")
        assert set(range(100)) <= set(live.steps.tolist())
        assert live.steps.tolist() == list(range(len(live)))
        (small_disk / "ballast").unlink()
        wait_for(lambda: live.refresh() and len(live) == 400)
        for step in range(400, 500):
            writer.append(measurement(step))
        writer.close()
    assert [type(w.message) for w in caught] == [RunLogWarning]
    assert "No space left on device" in str(caught[0].message)
    assert "training goes on" in str(caught[0].message)
    assert caught[0].filename == __file__
    run = Run(small_disk / "run")
    assert run.steps.tolist() == list(range(500))
    np.testing.assert_array_equal(run.gram(), [measurement(s).gram for s in range(500)])
    assert [m.text for m in run.marks] == ["while full"]
    assert (run.meta.seed, run.status.state) == (5, "finished")
    assert not any(event["kind"] == "lost" for event in run.events)
    live.refresh()
    np.testing.assert_array_equal(live.cosine("tail"), run.cosine("tail"))


def test_disk_full_to_the_end_does_not_raise(small_disk):
    writer = RunWriter(small_disk / "run", meta())
    fill(small_disk)
    with pytest.warns(RunLogWarning) as caught:
        log(writer, range(300), close=True)
    writer.close("failed")
    run = Run(small_disk / "run")
    lost = 300 - len(run)
    assert f"{lost} of 300 measured steps could not be written" in str(caught[1].message)
    assert len(caught) == 2
    assert run.steps.tolist() == list(range(len(run)))
    # There was no room for another file, so it was written over run.json.
    assert (run.status.state, run.meta.extra["lost"]["rows"]) == ("finished", lost)
    assert run.warnings == ()


def test_what_a_bounded_memory_could_not_hold_is_said(small_disk, monkeypatch):
    monkeypatch.setattr(backlog, "MOST_BYTES", 100 * 1100)
    writer = RunWriter(small_disk / "run", meta())
    writer.append(measurement(0))
    writer.flush()
    fill(small_disk)
    with pytest.warns(RunLogWarning):
        log(writer, range(1, 1000))
    (small_disk / "ballast").unlink()
    with pytest.warns(RunLogWarning, match="measured steps could not be written"):
        writer.close()
    run = Run(small_disk / "run")
    (lost,) = [event for event in run.events if event["kind"] == "lost"]
    assert lost["rows"] + len(run) == 1000
    assert 50 < len(run) < 1000
    assert run.steps[0] == 0
    assert run.steps[-1] == 999
    assert run.meta.extra["lost"]["rows"] == lost["rows"]
    assert "No space" in lost["cause"]
    assert (
        not set(run.steps.tolist()) & set(range(lost["first_step"], lost["last_step"] + 1)) or lost["first_step"] == 1
    )


def test_file_size_limit(tmp_path):
    """RLIMIT_FSIZE cuts a write in its middle, whatever the file system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = RunWriter(tmp_path / "run", meta())
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.warns(RunLogWarning) as caught:
            log(writer, range(1000), flushes=50, close=True)
        assert len(caught) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run = Run(tmp_path / "run")
    # Every new segment gets under the limit again, so nothing is lost.
    assert run.steps.tolist() == list(range(1000))
    assert max(os.path.getsize(path) for path in (tmp_path / "run").iterdir()) <= 20_000


def test_events_torn_by_a_full_disk_come_once(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = RunWriter(tmp_path / "run", meta())
    for size in (333, 450, 451, 700):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RunLogWarning)
                for number in range(3):
                    writer.event("mark", size, text=f"{size}-{number}")
                writer.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.flush()
    writer.close()
    assert [m.text for m in Run(tmp_path / "run").marks] == [
        f"{size}-{n}" for size in (333, 450, 451, 700) for n in range(3)
    ]


def test_a_folder_removed_while_logging(tmp_path):
    writer = write_run(tmp_path / "run", range(3), close=False)
    run = Run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    assert run.refresh() is False
    assert run.cosine("tail").shape == (3,)
    with pytest.warns(RunLogWarning, match="folder was removed"):
        log(writer, [3])
    with pytest.warns(RunLogWarning, match="2 of 5 measured steps"):
        log(writer, [4], close=True)
    assert not (tmp_path / "run").exists()


def test_a_warning_turned_into_an_error_leaves_the_writer_usable(tmp_path):
    writer = write_run(tmp_path / "run", range(3), close=False)
    shutil.rmtree(tmp_path / "run")
    writer.append(measurement(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RunLogWarning):
            writer.flush()
        writer.append(measurement(4))
        with pytest.raises(RunLogWarning, match=r"2 of 5 measured steps .* are lost"):
            writer.close()


def test_an_existing_folder_is_refused(tmp_path):
    write_run(tmp_path / "run", [1])
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(
        RunExistsError, match=r"already exists and holds measurements-000\.arrows, run\.json.*--out.*--resume"
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
        "import sys; from pathlib import Path; from tests.runlog.made import meta\n"
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
