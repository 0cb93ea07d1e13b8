"""The overhead benchmark: a tiny run of it, and its arithmetic by hand. Nothing here depends on how fast a machine is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
TINY = (
    "--cases batchnorm groupnorm --depth 8 --batch 6 --rounds 2 --heavy-rounds 1 --small-batch 2 --pairs 2 --steps 4 "
    "--images 120 --imports 1"
)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The JSON of a tiny run, and what it printed."""
    path = tmp_path_factory.mktemp("bench") / "result.json"
    command = [sys.executable, str(EXPERIMENTS / "bench_overhead.py"), *TINY.split(), "--results", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text()), done.stdout


@pytest.mark.slow
def test_result_says_where_it_comes_from(tiny):
    result, _ = tiny
    assert result["command"][:2] == ["python", "experiments/bench_overhead.py"]
    assert result["seed"] == 0
    assert {"torch", "opacus", "torchjd", "backpack-for-pytorch"} <= result["versions"].keys()
    assert result["hardware"]["threads"] == 1


@pytest.mark.slow
def test_lens_is_exact_and_leaves_training_alone(tiny):
    result, _ = tiny
    assert list(result["cases"]) == ["batchnorm", "groupnorm"]
    for case in result["cases"].values():
        for name in ("lens, masked", "lens, func"):
            method = case["methods"][name]
            assert method["refusal"] is None
            assert method["error"] < 1e-4
            assert method["state_change"] == 0
            assert method["peak_bytes"] > 0
            assert method["time_ratio"] > 0
    assert result["cases"]["groupnorm"]["methods"]["lens, split"]["error"] < 1e-4


@pytest.mark.slow
def test_refusals_come_with_their_reason_and_wrong_numbers_with_their_error(tiny):
    result, printed = tiny
    methods = result["cases"]["batchnorm"]["methods"]
    assert "BatchNorm" in methods["lens, split"]["refusal"]
    for name in ("torch.func, vmap(grad)", "Opacus, GradSampleModule", "TorchJD, autogram"):
        assert methods[name]["refusal"], name
        assert methods[name]["seconds"] is None
    assert methods["BackPACK, BatchGrad"]["refusal"] is None
    assert methods["BackPACK, BatchGrad"]["error"] > 0.1
    assert methods["three passes by hand"]["error"] < 1e-4
    assert methods["three passes by hand"]["state_change"] > 0.1  # running statistics move with every pass
    assert "lens, split refuses: train-mode BatchNorm" in " ".join(printed.split())


@pytest.mark.slow
def test_costs_and_targets_are_complete(tiny):
    result, _ = tiny
    assert {"unmeasured", "budget", "writing", "import", "probe"} <= result["costs"].keys()
    assert result["costs"]["budget"]["steps"] == 4
    for row in result["targets"]:
        assert row["met"] == (row["value"] <= row["limit"])
    assert len(result["targets"]) == 11


def test_ratio_is_the_median_over_common_rounds():
    from overhead.clocked import Timing

    base = Timing(seconds={0: 1.0, 1: 2.0, 2: 4.0})
    assert Timing(seconds={0: 3.0, 1: 2.0, 2: 8.0, 3: 99.0}).ratio(base) == 2.0
    assert Timing().ratio(base) is None


def test_group_gradients_add_up_those_of_samples_and_errors_are_in_units_of_norms():
    from overhead.cases import gram_error, gram_of, grouped_gram

    each = [torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 5.0]]), torch.tensor([[1.0], [1.0], [1.0]])]
    masks = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = grouped_gram(each, masks)  # groups [3, 0; 2] and [0, 5; 1]
    assert found.tolist() == [[13.0, 2.0], [2.0, 26.0]]
    vectors = [[torch.tensor([3.0, 0.0]), torch.tensor([2.0])], [torch.tensor([0.0, 5.0]), torch.tensor([1.0])]]
    assert torch.equal(gram_of(vectors), found)
    truth = torch.tensor([[4.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    assert gram_error(truth + torch.tensor([[0.0, 0.6], [0.0, 0.0]]), truth) == pytest.approx(0.1)


def test_all_cases_have_the_asked_share_of_tail_rows():
    from overhead.cases import cases

    for case in cases(batch=64, depth=8).values():
        setup = case.setup("cpu", 3)
        assert setup.masks.sum(1).tolist() == [61.0, 3.0]
        assert torch.equal(case.setup("cpu", 3).inputs, setup.inputs)


def test_table_shows_wrong_numbers_and_missed_targets():
    from overhead.table import print_result

    method = {"refusal": None, "seconds": 0.5, "time_ratio": 2.0, "over_two_backwards": None, "peak_ratio": 1.5}
    case = {"title": "Net", "batch": 2, "methods": {"a peer": method | {"error": 0.31, "state_change": 0.0}}}
    console = Console(record=True, width=120)
    target = {"name": "speed", "value": 1.2, "limit": 1.1, "met": False}
    print_result(console, {"cases": {"net": case}, "targets": [target]})
    text = console.export_text()
    assert "3.1e-01" in text
    assert "missed" in text
