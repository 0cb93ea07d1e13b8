"""The script for a GPU, tried out on a CPU: a section in a process of its own, and what becomes of one that hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


def in_small(out, *arguments):
    """The results of ``on_gpu.py`` on a CPU, and what it printed."""
    command = [sys.executable, str(EXPERIMENTS / "on_gpu.py"), "--device", "cpu", "--minutes", "4", "--small"]
    done = subprocess.run(
        [*command, *arguments, "--out", str(out)], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "on_gpu.json").read_text()), done.stdout


@pytest.mark.slow
def test_section_runs_in_its_own_process_and_is_gathered(tmp_path):
    result, _ = in_small(tmp_path, "--sections", "exactness-float32", "--at-once", "0")
    section = result["sections"]["exactness-float32"]
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


@pytest.mark.slow
def test_cost_waits_and_rates_are_measured_without_a_gpu_and_say_so(tmp_path):
    result, printed = in_small(tmp_path, "--at-once", "0", "--sections", "overhead-gpt", "rate", "synchronisations")
    assert (result["device"], result["small"]) == ("cpu", True)
    assert "say nothing about a GPU" in result["note"]
    sections = {name: section["rows"] for name, section in result["sections"].items()}
    assert [row for rows in sections.values() for row in rows if "failed" in row] == []

    cost = {(row.get("groups"), row["what"]): row for row in sections["overhead-gpt"]}
    for groups in (2, 10, 100):
        for way in ("masked", "split", "func", "by hand", "torch.func by group"):
            assert cost[groups, way]["ratio"] > 0
    assert "several groups" in cost[2, "torch.func by sample"]["refused"]

    lens = [row for row in sections["synchronisations"] if row["engine"]]
    assert [row["more_waits"] for row in lens] == [0, 0, 0, 0]
    assert all(row["measured_profiled"][0] > 0 for row in lens)  # measuring does read values, so the count is not blind
    assert "at most 0 waits more" in printed

    rates = {row["what"]: row for row in sections["rate"]}
    assert {"bare loop", "lab", "lab, watched"} <= rates.keys()
    assert rates["bare loop"]["rate_ratio"] == 1
    assert all(row["images_per_second"] > 0 for row in rates.values())


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the other packages, and of torch about its fused attention
@pytest.mark.parametrize("network", ["resnet32", "resnet32-groupnorm", "vit-b-16", "gpt"])
def test_other_ways_to_the_groups_gradients_take_the_plain_step(network):
    from gpu.peers import PEERS
    from gpu.training import SMALL, Case, Training, grouping
    from overhead.methods import Refusal

    small = SMALL[network]
    case = Case(small.build, small.batch, small.inputs, "default", small.classes, per_token=small.per_token)
    plain = Training(case, "cpu")
    before = [param.detach().clone() for param in plain.model.parameters()]
    torch.manual_seed(3)  # of the dropout
    plain.plain()
    taken = 0
    for name, peer in PEERS.items():
        training = Training(case, "cpu")
        try:
            torch.manual_seed(3)
            peer(training, grouping(10, case.classes))()
        except (Refusal, RuntimeError, ValueError, NotImplementedError):
            continue
        if name.startswith("BackPACK"):  # it does not know that BatchNorm mixes samples
            continue
        taken += 1
        for old, param, expected in zip(before, training.model.parameters(), plain.model.parameters(), strict=True):
            torch.testing.assert_close(
                param - old, expected - old, rtol=2e-3, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}"
            )
    assert taken >= 2  # by hand and torch.func by group, always


def test_as_many_trainings_run_at_once_as_cores_and_memory_allow():
    from gpu.side_by_side import GPU_BYTES, HOST_BYTES, fitting

    plenty = 10**15
    assert fitting(16, plenty, plenty) == 15
    assert fitting(16, 5 * HOST_BYTES, plenty) == 5
    assert fitting(16, plenty, 6 * GPU_BYTES) == 3  # half of the GPU is left for what is timed
    assert fitting(2, plenty, None) == 1
    assert fitting(1, 0, 0) == 1
