"""The trainings of known truth: their number, and how what is said about one is judged."""

import pytest


@pytest.fixture
def bench(load_experiment, monkeypatch):
    monkeypatch.syspath_prepend(load_experiment.__globals__["EXPERIMENTS"])
    return load_experiment("bench_diagnose")


def test_there_are_62_trainings_of_both_kinds(bench):
    found = bench.cases()
    assert len({(case.kind, case.name) for case in found}) == len(found) == 62
    assert {case.kind for case in found} == {"simulated", "real"}
    assert sum(not case.wrong for case in found) >= 20


def test_a_false_statement_and_a_missed_finding_are_counted(bench):
    lies = bench.simulated("long-tailed, taken for balanced", drawn=lambda _: (0.96, 0.04), data=bench.LONG)
    row = bench.judged(lies, 0)
    assert row["false"] == ["balance"]
    misses = bench.simulated("balanced, taken for long-tailed", "balance")
    assert bench.judged(misses, 0)["missed"] == ["balance"]
    assert "and 0 of 1 findings" in bench.table([row, bench.judged(misses, 0)])


def test_a_real_training_is_made(bench, tmp_path):
    run = bench.train(tmp_path / "run", bench.Small(steps=3))
    assert len(run) == 3
    assert run.has_update
