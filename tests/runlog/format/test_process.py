"""Real processes: killed, forked, ended without a word; what is left is read from the disk alone."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gradlens.runlog import Run, RunExistsError
from gradlens.runlog.format import process
from tests.runlog.made import measurement, wait_for, write_run

LOGGING = """
import sys, time
from pathlib import Path
from tests.runlog.made import measurement, meta
from gradlens.runlog import RunWriter
writer = RunWriter(Path(sys.argv[1]), meta())
writer.event("phase", 0, name="I")
step = 0
while True:
    writer.append(measurement(step))
    print(step, time.time(), flush=True)
    step += 1
    time.sleep(float(sys.argv[2]))
"""


def start(path, pause, code=LOGGING):
    return subprocess.Popen([sys.executable, "-c", code, str(path), str(pause)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("seed", "pause"), [(0, 0), (1, 0.001), (2, 0.02), (3, 0.3), (4, 0)])
def test_sigkill_loses_at_most_a_second_or_64_rows(tmp_path, seed, pause):
    child = start(tmp_path / "run", pause)
    lines = [child.stdout.readline()]
    time.sleep(np.random.default_rng(seed).uniform(0.05, 2.5))
    child.kill()
    killed = time.time()
    lines += child.stdout.readlines()
    child.wait()
    appended = [(int(step), float(at)) for step, at in (line.split() for line in lines if line.endswith("\n"))]
    run = Run(tmp_path / "run")
    kept = len(run)
    assert run.steps.tolist() == list(range(kept))
    lost = appended[kept:]
    # The flush itself takes a moment, more on a busy machine.
    assert len(lost) <= 64 or lost[0][1] > killed - 1.5
    assert (run.status.state, run.status.live) == ("killed", False)
    assert str(child.pid) in run.status.reason
    assert run.warnings == ()
    if kept:
        np.testing.assert_array_equal(run.gram()[-1], measurement(kept - 1).gram)


def test_status_of_a_live_run_and_one_writer_at_a_time(tmp_path):
    child = start(tmp_path / "run", 0.01)
    try:
        child.stdout.readline()
        run = Run(tmp_path / "run")
        assert (run.status.state, run.status.live) == ("running", True)
        with pytest.raises(RunExistsError, match=f"process {child.pid} is still writing"):
            write_run(tmp_path / "run", [1], resume=True)
        wait_for(lambda: run.refresh() and len(run) > 100)
        assert [p.name for p in run.phases] == ["I"]
    finally:
        child.kill()
        child.stdout.close()
        child.wait()
    assert run.status.state == "killed"
    write_run(tmp_path / "run", [50], resume=True)
    run.refresh()
    assert run.steps.tolist() == [*range(50), 50]
    assert run.status.state == "finished"


def test_a_later_process_of_the_same_pid_is_not_the_writer(tmp_path):
    write_run(tmp_path / "run", [1], close=False).update_meta(pid_start="another boot:1")
    wait_for(lambda: Run(tmp_path / "run").status.state == "killed")


@pytest.mark.parametrize(
    ("ending", "state", "reason"),
    [
        ("", "finished", None),
        ("sys.exit(3)", "finished", None),
        ("raise ValueError('no such luck')", "failed", "ValueError: no such luck"),
        ("writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)", "interrupted", "KeyboardInterrupt"),
        ("writer.close('failed', 'nan')", "failed", "nan"),
    ],
)
def test_a_program_that_ends_without_closing_loses_nothing(tmp_path, ending, state, reason):
    code = LOGGING.split("step = 0")[0] + "writer.append(measurement(5))\n" + ending
    child = start(tmp_path / "run", 0, code)
    child.communicate()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [5]
    assert (run.status.state, run.status.reason) == (state, reason)


def test_a_forked_child_writes_nothing(tmp_path):
    writer = write_run(tmp_path / "run", [1], close=False)
    writer.append(measurement(2))
    writer.event("mark", 2, text="parent")
    child = os.fork()
    if not child:
        for step in range(100, 300):
            writer.append(measurement(step))
        writer.event("mark", 3, text="child")
        writer.probe(
            3, None, ("a", "rest"), np.eye(2), None, [1], [1], [1], 0.1, {"num_classes": 1, "groups": {"a": [0]}}
        )
        writer.update_meta(seed=666)
        writer.flush()
        writer.close("failed", "child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.append(measurement(4))
    writer.close()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [1, 2, 4]
    assert [m.text for m in run.marks] == ["parent"]
    assert (run.status.state, run.meta.seed, run.probes) == ("finished", None, [])


def test_fork_while_another_thread_appends_does_not_hang(tmp_path):
    """A DataLoader that forks in the middle of an append leaves its worker a locked lock; the worker must not touch it."""
    code = LOGGING.split("step = 0")[0] + (
        "import os, threading\n"
        "late = measurement(10**9)\n"
        "go = True\n"
        "def add():\n"
        "    step = 0\n"
        "    while go:\n"
        "        writer.append(measurement(step)); step += 1\n"
        "thread = threading.Thread(target=add); thread.start()\n"
        "for _ in range(40):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        writer.append(late); writer.close('failed'); os._exit(7)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "go = False; thread.join(); writer.close()\n"
    )
    child = start(tmp_path / "run", 0, code)
    child.communicate(timeout=60)
    run = Run(tmp_path / "run")
    assert child.returncode == 0
    assert run.steps.tolist() == list(range(len(run)))
    assert run.status.state == "finished"


def test_a_signal_handler_may_close_the_run(tmp_path):
    handler = "lambda *_: (writer.close('interrupted', 'SIGTERM'), sys.exit(9))"
    code = LOGGING.replace("step = 0", f"import signal\nsignal.signal(signal.SIGTERM, {handler})\nstep = 0")
    child = start(tmp_path / "run", 0, code)
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    lines = child.stdout.readlines()
    child.wait(timeout=30)
    run = Run(tmp_path / "run")
    assert child.returncode == 9
    assert (run.status.state, run.status.reason) == ("interrupted", "SIGTERM")
    assert len(run) >= len(lines)


# Sends the signal while the training's thread is inside what wakes the writing thread, if any Python of ours or threading's runs.
WOKEN = """
import os, signal, sys
from pathlib import Path
from tests.runlog.made import meta
from gradlens.runlog import RunWriter
signal.alarm(20)
writer = RunWriter(Path(sys.argv[1]), meta())
signal.signal(signal.SIGTERM, lambda *_: (writer.close("interrupted", "SIGTERM"), os._exit(9)))
def profile(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "notify_all":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGTERM)
sys.setprofile(profile)
writer.event("mark", 0, text="begin")
sys.setprofile(None)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_handler_may_close_the_run_while_the_writing_thread_is_woken(tmp_path):
    child = start(tmp_path / "run", 0, WOKEN)
    child.communicate(timeout=60)
    assert child.returncode == 9
    run = Run(tmp_path / "run")
    assert (run.status.state, [mark.text for mark in run.marks], run.warnings) == ("interrupted", ["begin"], ())


def test_start_marks():
    mark = process.start_mark(os.getpid())
    assert mark
    here = process.host(), process.namespace()
    assert process.lives(os.getpid(), mark, *here) is True
    assert process.lives(os.getpid(), "other", *here) is False
    assert process.lives(os.getpid(), mark, "another machine", here[1]) is None
    assert process.lives(os.getpid(), mark, here[0], "pid:[1]") is None
    assert process.lives(os.getpid(), mark, here[0], None) is True
    assert process.lives(os.getpid(), "other", here[0], None) is None
    child = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: process.start_mark(child.pid) is None)  # dead, and not reaped yet
    child.wait()
    assert process.start_mark(child.pid) is None
