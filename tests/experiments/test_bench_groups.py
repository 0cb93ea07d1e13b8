"""The benchmark of many groups: its steps train as a plain one does, and its targets by hand."""

from __future__ import annotations

import pytest
import torch


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch about its fused attention under vmap
@pytest.mark.parametrize("case", ["batchnorm", "groupnorm", "vit"])
def test_each_way_takes_the_plain_step_or_refuses(load_experiment, case):
    bench = load_experiment("bench_groups")
    from gpu.training import Training
    from overhead.methods import Refusal

    built = bench.cases(12, 8)[case]
    plain = Training(built, "cpu")
    before = [param.detach().clone() for param in plain.model.parameters()]
    plain.plain()
    refused = []
    for way in bench.WAYS[1:]:
        training = Training(built, "cpu")
        try:
            step = bench.step_of(training, 10, way)
            step()
        except (Refusal, RuntimeError):
            refused.append(way)
            continue
        for old, param, expected in zip(before, training.model.parameters(), plain.model.parameters(), strict=True):
            if way in bench.ENGINES:
                step.lens.close()
                assert torch.equal(param, expected), way
            else:
                torch.testing.assert_close(param - old, expected - old, rtol=2e-3, atol=1e-8)
    assert refused == (["split", "torch.func by sample"] if case == "batchnorm" else [])


def test_targets_compare_with_the_limit_the_plain_step_and_the_fastest_engine(load_experiment):
    bench = load_experiment("bench_groups")
    ways = {
        "masked": {"ratio": 30.0, "of_limit": 1.2},
        "split": {"ratio": 1.4, "of_limit": 0.06},
        "func": {"ratio": 20.0, "of_limit": 0.8},
        "by hand": {"ratio": 26.0, "of_limit": 1.1},
        "torch.func by sample": {"refused": "no"},
    }
    found = {"case": "vit", "groups": 100, "auto": "split", "ways": ways}
    rows = {row["name"].partition(": ")[2]: (row["value"], row["met"]) for row in bench.targets([found])}
    assert rows == {
        "split over plain": (1.4, True),
        "masked over the limit": (1.2, False),
        "func over the limit": (0.8, True),
        "the engine of auto over the fastest": (1.0, True),
    }
    assert bench.targets([found | {"auto": "masked"}])[-1]["value"] == pytest.approx(30 / 1.4)
