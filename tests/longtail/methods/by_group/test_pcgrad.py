"""PCGrad: two vectors by hand, several against projections written out, and TorchJD."""

import pytest
import torch
from torchjd.aggregation import PCGrad

from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.by_group.pcgrad import PcGradWeights
from gradlens.longtail.training.fit import fit
from tests.longtail.methods.by_group.combined import combined, drawn, weights_of


def test_two_vectors_by_hand():
    """<g1, g2> = -1: g1 becomes g1 + g2 / 2 = (0.5, 0.5), and g2 becomes g2 + g1 = (0, 1)."""
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    assert combined(PcGradWeights(), vectors).tolist() == pytest.approx([0.5, 1.5])
    assert combined(PcGradWeights(mean=True), vectors).tolist() == pytest.approx([0.25, 0.75])


def test_without_conflict_nothing_changes():
    vectors = torch.tensor([[1.0, 0.5], [0.0, 2.0]], dtype=torch.float64)
    assert weights_of(PcGradWeights(), vectors).tolist() == [1.0, 1.0]
    assert weights_of(PcGradWeights(), vectors[:1]).tolist() == [1.0]


@pytest.mark.parametrize("seed", range(4))
def test_several_vectors_against_projections_written_out(seed):
    vectors = drawn(4, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    expected = torch.zeros(7, dtype=torch.float64)
    for i, vector in enumerate(vectors):
        projected = vector.clone()
        for j in torch.randperm(4, generator=generator).tolist():
            if j != i:
                projected -= min(0.0, float(projected @ vectors[j])) / float(vectors[j] @ vectors[j]) * vectors[j]
        expected += projected
    assert not torch.allclose(expected, vectors.sum(0), rtol=0.01)  # there are conflicts
    torch.testing.assert_close(combined(PcGradWeights(), vectors, seed=seed), expected)


@pytest.mark.parametrize("groups", [2, 5])
def test_against_torchjd(groups):
    vectors = drawn(groups, seed=groups)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = PCGrad()(vectors)
    torch.testing.assert_close(combined(PcGradWeights(), vectors, seed=3), expected)


def test_the_update_of_two_groups_harms_neither():
    for seed in range(20):
        vectors = drawn(2, seed=seed, conflict=1.0)
        assert float((vectors @ combined(PcGradWeights(), vectors)).min()) >= -1e-12


def test_the_global_random_state_stays():
    before = torch.get_rng_state()
    weights_of(PcGradWeights(), drawn(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_it_trains(task):
    method, ce = find_method("pcgrad"), find_method("ce")
    ours, theirs = (fit(m.on(task, {"epochs": 8}), task) for m in (method, ce))
    assert ours.history[-1]["loss"] < 0.6 * ours.history[0]["loss"]
    # Their first steps conflict little; at the end the weights are others.
    assert ours.history[-1]["loss"] != theirs.history[-1]["loss"]
