"""GradVac: the angle that it makes, its targets by hand, TorchJD, and that its targets survive an interruption."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torchjd.aggregation import GradVac

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.by_group.gradvac import STATE, GradVacWeights, Targets
from gradlens.longtail.methods.by_group.pcgrad import PcGradWeights
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from tests.longtail.methods.by_group.combined import combined, drawn, weights_of
from tests.longtail.processes import in_a_process
from tests.longtail.resumable_training import train_combined
from tests.longtail.same_state import assert_same


def keeping(groups, layers=1):
    return SimpleNamespace(modules={STATE: Targets(layers, groups)})


def test_two_vectors_get_the_cosine_of_their_target():
    learner = keeping(2)
    learner.modules[STATE].targets[0, 0, 1] = 0.6
    vectors = torch.tensor([[2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)  # cosine 0
    weights = weights_of(GradVacWeights(0.25), vectors, learner=learner)
    # g1 becomes (2, x) with the cosine 0.6 with (0, 1): x = 1.5, half of g2. g2 stays: its target is 0.
    assert weights.tolist() == pytest.approx([1.0, 1.5])
    assert learner.modules[STATE].targets[0].flatten().tolist() == pytest.approx([0, 0.75 * 0.6, 0, 0])


def test_targets_are_moving_averages_and_in_libmtl_only_fall():
    vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)  # cosine sqrt(0.5)
    for below, expected in ((False, 0.5**0.5 * (1 - 0.75**2)), (True, 0.0)):
        learner = keeping(2)
        for _ in range(2):
            assert weights_of(GradVacWeights(0.25, below), vectors, learner=learner).tolist() == [1.0, 1.0]
        assert learner.modules[STATE].targets[0].tolist() == [
            [0, pytest.approx(expected)],
            [pytest.approx(expected), 0],
        ]


@pytest.mark.parametrize("groups", [2, 5])
def test_against_torchjd_over_several_steps(groups):
    theirs, learner = GradVac(beta=0.3), keeping(groups)
    for seed in range(6):
        vectors = drawn(groups, seed=seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            expected = theirs(vectors)
        found = combined(GradVacWeights(0.3), vectors, seed=seed, learner=learner)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert learner.modules[STATE].targets.abs().max() > 0.1


def test_with_targets_of_zero_it_is_pcgrad():
    vectors = drawn(2, seed=4, conflict=1.0)
    assert float(vectors[0] @ vectors[1]) < 0
    found = combined(GradVacWeights(0.0), vectors, learner=keeping(2))
    torch.testing.assert_close(found, combined(PcGradWeights(), vectors))
    torch.testing.assert_close(2 * combined(GradVacWeights(0.0, mean=True), vectors, learner=keeping(2)), found)


def test_the_targets_of_an_absent_group_and_of_other_layers_wait():
    learner = keeping(3, layers=2)
    learner.modules[STATE].targets[:] = 0.5
    weights_of(GradVacWeights(0.5), drawn(2, seed=1), learner=learner, present=(0, 2), layer=1)
    changed = learner.modules[STATE].targets != 0.5
    assert changed.nonzero().tolist() == [[1, 0, 2], [1, 2, 0]]


def test_each_layer_has_targets(task):
    fitted = fit(find_method("gradvac").on(task, {"epochs": 2}), task)
    targets = fitted.learner.modules[STATE].targets
    layers = {name.rpartition(".")[0] for name, _ in fitted.learner.model.named_parameters()}
    assert targets.shape == (len(layers), 2, 2)
    assert (targets[:, 0, 1] != 0).all()
    whole = fit(find_method("gradvac").on(task, {"epochs": 1, "granularity": "whole"}), task)
    assert whole.learner.modules[STATE].targets.shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"beta": 1.5}, "beta=1.5"),
        ({"granularity": "matrix"}, "granularity='matrix'; choose one of layers, whole"),
        ({"update_targets": "never"}, "update_targets='never'; choose one of always, below"),
    ],
)
def test_settings_out_of_range_are_refused(task, changes, says):
    with pytest.raises(LongTailError, match=says):
        find_method("gradvac").on(task, changes)


def test_resuming_after_kill_9_ends_bit_identical(tmp_path):
    """The targets are in the checkpoint, and the random order of each epoch is that of an uninterrupted training."""
    in_a_process(train_combined, tmp_path / "whole")
    in_a_process(train_combined, tmp_path / "cut", kill_after="all classes 2")
    assert len(in_a_process(train_combined, tmp_path / "cut", resume=True)) <= 2
    whole, cut = (torch.load(tmp_path / name / FILE, weights_only=True) for name in ("whole", "cut"))
    assert_same(cut, whole)
    assert whole["modules"][STATE]["targets"].abs().max() > 0


def test_a_training_with_another_combination_is_another(task):
    first, other = (find_method("gradvac").on(task, {"groups": kind}) for kind in ("head-tail", "shots"))
    assert first.identity()["combine of phase 1 (all classes)"] != other.identity()["combine of phase 1 (all classes)"]
    assert dataclasses.replace(first.phases[0], combine=None).identity().keys() == {
        "optimizer", "schedule", "batch", "trainable", "losses",
    }  # fmt: skip
