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
    assert len(plain.steps) == len(watched.steps) == 250
    assert plain.measured == []
    found = bench.facts(plain, watched, 100)
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

    run = SimpleNamespace(meta=SimpleNamespace(timings={"overhead": 0.04}))
    monkeypatch.setattr("gradlens.runlog.Run", lambda _folder: run)
    plain = bench.Ran([(1.0, 2.0, None)] * 6, 9.0, Path())
    # Steps 0 and 3 are measured. Step 4 is longer than others by 0.1, too.
    watched = bench.Ran(
        [(3.0, 5.0, 0), (1.0, 2.0, 0), (1.1, 2.0, 0), (1.6, 3.0, 3), (1.2, 2.0, 3), (1.1, 2.0, 3)], 13.5, Path()
    )
    assert watched.measured == [0, 3]
    assert bench.facts(plain, watched, 2) == pytest.approx(
        {
            "measured_steps": 2,
            "overhead_said": 0.04,
            "plain_ms_cpu": 1000.0,
            "loop_cpu": 1.5,
            "later_cpu": 1.25,
            "measured_cpu": (0.5 + 0.1) / 4 / 1.1,
            "others_cpu": 1.1,
            "first_turn_more_ms_cpu": 2000.0,
            "plain_ms_clock": 2000.0,
            "loop_clock": 16 / 12,
            "later_clock": 9 / 8,
            "measured_clock": 1.0 / 4 / 2,
            "others_clock": 1.0,
            "first_turn_more_ms_clock": 3000.0,
            "fixed_cpu": 1.5,
        }
    )
    row = bench.middle([{"a": 1.0}, {"a": 5.0}, {"a": 2.0}])
    assert row == {"a": {"median": 2.0, "range": [1.0, 5.0]}}


def test_a_pair_of_plain_trainings_shows_how_much_processes_differ(load_experiment):
    bench = load_experiment("bench_budget")
    found = bench.facts(
        bench.Ran([(1.0, 1.0, None)] * 4, 5.0, Path()), bench.Ran([(1.05, 1.1, None)] * 4, 5.2, Path()), 1
    )
    assert found["later_cpu"] == found["others_cpu"] == pytest.approx(1.05)
    assert found["measured_cpu"] == found["measured_steps"] == 0
    assert "overhead_said" not in found


def test_the_second_of_two_plain_trainings_may_have_a_second_thread(load_experiment, tmp_path):
    bench = load_experiment("bench_budget")
    one, two = bench.commands("thread", "10 ms", 6, tmp_path)
    assert two == [*one, "thread"]
    assert bench.commands("control", "10 ms", 6, tmp_path) == [one, one]
