"""A signal handler closes the run in the middle of its own writing: at once, wherever the signal comes, with nothing lost."""

import subprocess
import sys

import pytest

from gradlens.runlog import Run

# Forks a process for each line of Python that a call goes through, and sends it a signal just there. A line is tried again
# only where that is another one: loops come back to the same.
INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
from tests.runlog.made import measurement, meta
from gradlens.runlog import RunWriter
from gradlens.runlog.writing import writer as module

module.BATCH_ROWS = 1  # each row wakes the thread that writes
rows = [measurement(step) for step in range(3)]

def probe(writer):
    row = rows[0]
    groups = {"num_classes": 2, "rule": "", "groups": {"head": [0], "tail": [1]}}
    writer.probe(0, 0, row.names, row.gram, None, row.counts, row.loss, row.correct, 0.1, groups)

CALLS = {
    "rows": lambda writer: writer.append_many(rows[1:]),
    "event": lambda writer: writer.event("mark", 0, text="begin"),
    "probe": probe,
    "description": lambda writer: writer.update_meta(method="other"),
    "flush": lambda writer: writer.flush(),
}

def interrupted_at(line, path, call):
    writer = RunWriter(path, meta())
    writer.append(rows[0])
    def handler(*_):
        sys.settrace(None)
        time.sleep(0.02)  # the thread that writes has a part in it now
        begun = time.monotonic()
        writer.close("interrupted", "SIGTERM")
        os._exit(10 if time.monotonic() - begun < 5 else 11)
    signal.signal(signal.SIGTERM, handler)
    seen, left = set(), line
    def trace(frame, event, argument):
        nonlocal left
        place = (frame.f_code, frame.f_lineno)
        if event == "line" and place not in seen:
            seen.add(place)
            left -= 1
            if left == 0:
                sys.settrace(None)
                os.kill(os.getpid(), signal.SIGTERM)
        return trace
    sys.settrace(trace)
    call(writer)
    sys.settrace(None)
    os._exit(0)

line, code = 0, None
while code != 0:
    line += 1
    pid = os.fork()
    if not pid:
        interrupted_at(line, Path(sys.argv[1]) / str(line), CALLS[sys.argv[2]])
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(line, code, flush=True)
"""


@pytest.mark.parametrize("call", ["rows", "event", "probe", "description", "flush"])
def test_a_signal_handler_may_close_the_run_wherever_it_comes(tmp_path, call):
    child = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path), call], stdout=subprocess.PIPE, text=True, timeout=280
    )
    lines = [tuple(map(int, line.split())) for line in child.stdout.splitlines()]
    assert child.returncode == 0
    assert lines.pop()[1] == 0  # went through
    assert len(lines) > 5
    assert {code for _, code in lines} == {10}, [line for line, code in lines if code != 10]
    for line, _ in lines:
        run = Run(tmp_path / str(line))
        assert (run.status.state, run.status.reason) == ("interrupted", "SIGTERM")
        assert run.steps.tolist() in ([0], [0, 1, 2])
        assert run.warnings == ()
