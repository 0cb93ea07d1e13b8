"""The benchmark of the budget: a tiny run of it in real processes, and its arithmetic by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("way", ["track", "lab"])
def test_two_trainings_take_turns_and_the_watched_one_leaves_a_run(load_experiment, tmp_path, way):
    bench = load_experiment("bench_budget")
    plain, watched = bench.pair(way, "0.3 ms", 250, tmp_path)
    assert len(plain.turns) == len(watched.turns) == 3  # of 100, 100 and 50 steps
    found = bench.facts(plain, watched, 250)
    assert found["measured_steps"] >= 1
    assert found["loop_cpu"] > found["later_cpu"] > 0  # the first turn has the first measured step
    assert found["plain_ms_cpu"] > 0


@pytest.mark.slow
def test_training_that_fails_is_said_and_nothing_waits(load_experiment, tmp_path):
    bench = load_experiment("bench_budget")
    with pytest.raises(RuntimeError, match="KeyError: 'no case'"):
        bench.pair("lab", "no case", 250, tmp_path)


def test_ratios_are_those_of_sums_and_the_fixed_cost_is_outside_of_the_loop(load_experiment, monkeypatch):
    bench = load_experiment("bench_budget")

    run = SimpleNamespace(steps=(0, 7), meta=SimpleNamespace(timings={"overhead": 0.04}))
    monkeypatch.setattr("gradlens.runlog.Run", lambda _folder: run)
    plain = bench.Ran([(1.0, 2.0), (1.0, 2.0), (2.0, 4.0)], 7.0, Path())
    watched = bench.Ran([(2.0, 5.0), (1.5, 3.0), (1.5, 3.3)], 9.5, Path())
    assert bench.facts(plain, watched, 8) == pytest.approx(
        {
            "measured_steps": 2,
            "overhead_said": 0.04,
            "plain_ms_cpu": 500.0,
            "loop_cpu": 1.25,
            "later_cpu": 1.0,
            "first_turn_more_ms_cpu": 1000.0,
            "plain_ms_clock": 1000.0,
            "loop_clock": 11.3 / 8,
            "later_clock": 1.05,
            "first_turn_more_ms_clock": 3000.0,
            "fixed_cpu": 1.5,
        }
    )
    row = bench.middle([{"a": 1.0}, {"a": 5.0}, {"a": 2.0}])
    assert row == {"a": {"median": 2.0, "range": [1.0, 5.0]}}
