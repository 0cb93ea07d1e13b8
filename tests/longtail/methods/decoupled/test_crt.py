"""cRT: what stage 2 trains and draws, its learning rates, and resuming in it."""

import numpy as np
import pytest
import torch

from gradlens.longtail.methods import CE, find_method
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from tests.longtail.processes import in_a_process
from tests.longtail.resumable_training import train_crt
from tests.longtail.same_state import assert_same
from tests.longtail.watched import watched

CRT = find_method("crt")
SHORT = {"epochs": 2, "epochs_2": 4}


@pytest.mark.parametrize("moving", [True, False])
def test_stage_2_trains_a_new_classifier_and_nothing_else(task, moving):
    before = fit(CE.on(task, {"epochs": 2}), task).learner.model.state_dict()
    after = fit(CRT.on(task, SHORT | {"moving_statistics": moving}), task).learner.model.state_dict()
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    statistics = {name for name in before if "running" in name or "tracked" in name}
    assert moved == {"classifier.weight", "classifier.bias"} | (statistics if moving else set())


def test_the_new_classifier_is_drawn_as_pytorch_does_by_default(task):
    seen = []
    recipe = CRT.on(task, SHORT | {"learning_rate_2": 1e-12, "epochs_2": 1})
    model = fit(recipe, task, on_epoch=lambda row: seen.append(row["phase"])).learner.model
    weight = model.classifier.weight.detach()  # hardly trained: uniform in +-1 / sqrt(64)
    assert seen == ["all classes", "all classes", "classifier"]
    assert float(weight.abs().max()) == pytest.approx(1 / 8, rel=0.02)
    assert float(weight.std()) == pytest.approx(1 / 8 / 3**0.5, rel=0.05)


def test_classes_take_turns_four_images_at_a_time(task):
    drawn = watched(CRT.on(task, SHORT), task).labels
    for epoch in range(4):
        batches = drawn["classifier", epoch]
        assert [len(labels) for labels in batches] == [32] * 10  # 342 images: 10 whole batches
        turns = torch.cat(batches).view(-1, 4)
        assert (turns == turns[:, :1]).all()
        rounds = turns[:, 0].view(-1, 10)  # 80 turns of 10 classes
        assert torch.equal(rounds.sort(1).values, torch.arange(10).expand(8, 10))
    assert not torch.equal(*(torch.cat(drawn["classifier", epoch]) for epoch in (0, 1)))
    even = watched(CRT.on(task, SHORT | {"sampler_2": "class-balanced"}), task).labels
    counts = torch.cat([torch.cat(even["classifier", epoch]) for epoch in range(4)]).bincount(minlength=10).double()
    expected = counts.sum() / 10
    assert float(((counts - expected) ** 2 / expected).sum()) < 27.88  # 99.9 % quantile of chi-square, 9 degrees


def test_learning_rates_of_both_stages(task):
    """Stage 2 begins at the rate of stage 1 and falls along half a cosine: (1 + cos(pi t / 4)) / 2."""
    rates = watched(CRT.on(task, SHORT | {"learning_rate": 0.2}), task).rates
    half = 2**0.5 / 2
    expected = [0.2 * (1 + c) / 2 for c in (1, half, 0, -half)]
    assert rates["classifier"] == pytest.approx(np.repeat(expected, 10))
    own = SHORT | {
        "learning_rate_2": 0.3,
        "schedule_2": "steps",
        "steps_at_2": [0.5],
        "steps_by_2": 0.1,
        "warm_up_2": 1,
    }
    assert watched(CRT.on(task, own), task).rates["classifier"] == pytest.approx(np.repeat([0.3, 0.3, 0.03, 0.03], 10))


def test_killed_in_stage_2_it_ends_bit_identical(tmp_path):
    """BatchNorm's statistics move in stage 2, so they too must be as they were."""
    assert in_a_process(train_crt, tmp_path / "whole") == ["all classes 1", *[f"classifier {n}" for n in (2, 3, 4)]]
    in_a_process(train_crt, tmp_path / "cut", kill_after="classifier 2")
    assert in_a_process(train_crt, tmp_path / "cut", resume=True)[-1] == "classifier 4"
    assert_same(*(torch.load(tmp_path / name / FILE, weights_only=True) for name in ("cut", "whole")))
