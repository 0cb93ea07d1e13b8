"""What a writer holds back while the disk is full: one warning, and nothing lost once there is room again."""

import os
import resource
import shutil
import time
import warnings

import numpy as np
import pytest

from gradlens.runlog import Run, RunLogWarning, RunWriter
from gradlens.runlog.writing import backlog
from tests.runlog.made import fill, measurement, meta, wait_for, write_run


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 0.05)


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


def test_rows_and_events_reach_the_disk_by_themselves_within_a_second(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    writer.append(measurement(1))
    run, appended = Run(tmp_path / "run"), time.monotonic()
    wait_for(lambda: run.refresh() and len(run) == 1)
    assert time.monotonic() - appended < 2.5  # 1 s and a busy machine
    writer.event("mark", 1, text="here")
    wait_for(lambda: run.refresh() and len(run.marks) == 1)
    writer.update_meta(timings={"plain": 1.0})
    wait_for(lambda: run.refresh() and run.meta.timings == {"plain": 1.0})
    assert run.refresh() is False
    writer.close()
    assert run.refresh() is True
    assert run.status.state == "finished"
    assert run.refresh() is False
