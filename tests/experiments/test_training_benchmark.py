"""The benchmark of the lab's steps in two builds: a tiny run of it, and its arithmetic by hand."""

import json
import sys

import pytest


@pytest.fixture
def builds(load_experiment, monkeypatch):
    monkeypatch.syspath_prepend(load_experiment.__globals__["EXPERIMENTS"])
    from training import builds

    return builds


def test_ratios_are_those_of_the_same_round(builds):
    rows = builds.summary({"before": [1.0, 2.0, 4.0], "way": [0.5, 1.5, 1.0]})
    assert rows["before"]["ratio"] == 1
    assert rows["way"]["ratio"] == 0.5  # of 0.5, 0.75 and 0.25
    assert rows["way"]["ratio_quartiles"] == [0.25, 0.75]
    assert rows["way"]["ms"] == 1000


@pytest.mark.parametrize(
    ("operator", "part"),
    [
        ("aten::convolution_backward", "convolutions, backward"),
        ("aten::mkldnn_convolution", "convolutions, forward"),
        ("aten::convolution", "convolutions, forward"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::threshold_backward", "ReLU"),
        ("aten::clamp_min_", "ReLU"),
        ("## Call CompiledFxGraph abc ##", "compiled code"),
        ("Optimizer.step#SGD.step", "optimizer"),
        ("aten::addmm", "other"),
        ("aten::add_", "additions (shortcuts, optimizer)"),
        ("aten::mean", "other"),
    ],
)
def test_every_operator_has_its_part(builds, operator, part):
    assert builds.part_of(operator) == part


@pytest.mark.slow
def test_a_tiny_run(load_experiment, builds, monkeypatch, tmp_path):
    file, here = tmp_path / "bench.json", builds.WORKER.parents[2]
    options = ["--base", here, "--depth", "8", "--steps", "3", "--batch", "4", "--repetitions", "2", "--results", file]
    monkeypatch.setattr(sys, "argv", ["b", *map(str, options)])
    load_experiment("bench_training").main()
    result = json.loads(file.read_text())
    assert set(result["summary"]) == {"before", "before, again", *builds.WAYS}
    assert all(len(times) == 2 for times in result["seconds"].values())
    for parts in result["profile"].values():
        assert sum(parts.values()) == pytest.approx(1)
        assert parts["convolutions, backward"] > 0
    assert result["profile"]["compile"]["compiled code"] > 0
    assert result["profile"]["as it is"]["compiled code"] == 0
    assert len(result["convolutions"]) == 14
