"""The script for a GPU, tried out on a CPU: a section in a process of its own, and what becomes of one that hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


def test_section_runs_in_its_own_process_and_is_gathered(tmp_path):
    command = [sys.executable, str(EXPERIMENTS / "on_gpu.py"), "--device", "cpu", "--minutes", "4", "--small"]
    command += ["--sections", "exactness-float32", "--at-once", "0", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    section = json.loads((tmp_path / "on_gpu.json").read_text())["sections"]["exactness-float32"]
    assert section["exit"] == 0, section
    assert {row["engine_used"] for row in section["rows"]} == {"masked", "split", "func"}
    for row in section["rows"]:
        assert row["same_graph"]
        assert row["gram_error"] < 1e-5, row


def test_child_that_hangs_is_ended_at_its_deadline_and_says_what_it_printed(tmp_path):
    from gpu.children import Child

    code = "import time; print('begun', flush=True); time.sleep(600)"
    child = Child("hangs", [sys.executable, "-c", code], tmp_path / "log", time.monotonic() + 3, dict(os.environ))
    while child.running:
        time.sleep(0.05)
    facts = child.facts()
    assert facts["cut"]
    assert facts["exit"] != 0
    assert "begun" in facts["output"]


def test_child_that_is_held_stands_still(tmp_path):
    from gpu.children import Child

    code = "import time\nwhile True: print(1, flush=True); time.sleep(0.02)"
    log = tmp_path / "log"
    child = Child("counts", [sys.executable, "-c", code], log, time.monotonic() + 60, dict(os.environ))
    while not log.read_text():
        time.sleep(0.05)
    child.hold()
    time.sleep(0.2)
    size = log.stat().st_size
    time.sleep(0.3)
    assert log.stat().st_size == size
    child.go_on()
    while log.stat().st_size == size:
        time.sleep(0.05)
    child.end()


def test_error_in_a_row_does_not_hide_the_next(tmp_path):
    from gpu.record import Record

    record = Record(tmp_path / "rows.json")
    record.attempt({"name": "a"}, lambda: 1 / 0)
    record.attempt({"name": "b"}, lambda: {"value": 2})
    first, second = json.loads((tmp_path / "rows.json").read_text())
    assert first["failed"].startswith("ZeroDivisionError")
    assert second["value"] == 2


def test_all_methods_of_the_first_imbalance_come_first():
    from gpu.side_by_side import jobs

    assert list(jobs([100.0, 50.0], [0])) == [(m, i, 0) for i in (100.0, 50.0) for m in ("ce", "plain", "dual-phase")]
