"""`gradlens mirror` as a user calls it: once, while a run grows, interrupted, and killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("tensorboard", reason="needs: pip install tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradlens.commands.mirror import mirror_command
from tests.mirror.runs import begin, made, measured


@pytest.fixture
def said(monkeypatch):
    found = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", found)
    return found


def steps_in(folder, name="gradlens/head/cosine"):
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [event.step for event in read.Scalars(name)] if name in read.Tags()["scalars"] else []


def test_it_says_what_it_wrote_and_where(tmp_path, said):
    before = signal.getsignal(signal.SIGINT)
    run = made(tmp_path / "run", range(4))
    mirror_command(run.path, "tensorboard")
    mirror_command(run.path, "tensorboard", follow=True)
    place = tmp_path / "run" / "tensorboard"
    assert said.getvalue() == f"gradlens: 9 steps written to {place}\ngradlens: 0 steps written to {place}\n"
    assert steps_in(place) == [0, 1, 2, 3]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_is_one_line(tmp_path, said):
    run = made(tmp_path / "run", range(1))
    with pytest.raises(SystemExit) as end:
        mirror_command(run.path, "neptune")
    assert end.value.code == 2
    assert said.getvalue().startswith("gradlens: error: cannot mirror to 'neptune'; choose one of")


def test_a_run_that_failed_may_go_on(tmp_path, said):
    begin(tmp_path / "run", range(2)).close("failed", "why")
    mirror_command(tmp_path / "run", "tensorboard", follow=True)
    assert "the run is failed; if its training is resumed, the same command goes on" in said.getvalue()


def follow(run):
    command = [sys.executable, "-m", "gradlens", "mirror", str(run), "--to", "tensorboard", "--follow"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(folder, step):
    for _ in range(600):
        if folder.exists() and step in steps_in(folder):
            return
        time.sleep(0.2)
    raise AssertionError(f"step {step} did not arrive")


@pytest.mark.slow
def test_a_growing_run_is_followed_through_an_interrupt_and_a_kill(tmp_path):
    writer, folder = begin(tmp_path / "run", range(3)), tmp_path / "run" / "tensorboard"

    def grow(step):
        writer.append(measured(step))
        writer.flush()

    first = follow(tmp_path / "run")
    wait_for(folder, 2)
    grow(3)
    wait_for(folder, 3)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=120)
    assert (first.returncode, said.splitlines()[-1]) == (0, "gradlens: stopped; the same command goes on from here")

    grow(4)
    second = follow(tmp_path / "run")
    wait_for(folder, 4)
    os.kill(second.pid, signal.SIGKILL)
    second.communicate(timeout=120)

    third = follow(tmp_path / "run")
    for step in range(5, 9):
        grow(step)
    writer.close()
    _, said = third.communicate(timeout=120)
    assert third.returncode == 0, said
    assert steps_in(folder) == list(range(9))
    assert steps_in(folder, "gradlens-logged/val/loss") == [0, 1, 2]
