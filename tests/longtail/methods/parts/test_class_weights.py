"""Class-balanced weights against fractions worked out by hand and the numbers of CIFAR100-LT."""

from fractions import Fraction

import pytest
import torch

from gradlens.longtail.data.counts import long_tailed_counts
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.class_weights import class_balanced_weights


@pytest.mark.parametrize(
    "beta", [Fraction(1, 2), Fraction(9, 10), Fraction(9999, 10000), 1 - Fraction(1, 10**9)], ids=str
)
def test_weights_are_the_formula_in_exact_fractions(beta):
    counts = (50, 3, 1)
    raw = [(1 - beta) / (1 - beta**n) for n in counts]
    found = class_balanced_weights(torch.tensor(counts), float(beta))
    assert found.tolist() == pytest.approx([float(3 * weight / sum(raw)) for weight in raw], rel=1e-12)


def test_weights_of_cifar100_lt():
    """Counted for imbalance 100 from the formula: 0.82 to 2.00 at beta 0.9, 0.045 to 4.38 at 0.9999."""
    counts = torch.as_tensor(long_tailed_counts(100, 500, 100.0))
    mild, strong = class_balanced_weights(counts, 0.9), class_balanced_weights(counts, 0.9999)
    assert [round(float(w), 2) for w in (mild.min(), mild.max())] == [0.82, 2.00]
    assert float(strong.min()) == pytest.approx(0.045, abs=5e-4)
    assert float(strong.max()) == pytest.approx(4.38, abs=5e-3)
    drawn = float((strong * counts).sum() / counts.sum())
    assert drawn == pytest.approx(0.203, abs=5e-4)  # the mean weight of a drawn image


def test_limits_of_beta():
    counts = torch.tensor([400, 20, 1])
    assert class_balanced_weights(counts, 0.0).tolist() == [1, 1, 1]
    inverse = 1 / counts.double()
    nearly = class_balanced_weights(counts, 1 - 1e-12)
    assert torch.allclose(nearly, 3 * inverse / inverse.sum(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_a_class_without_images_weighs_nothing_and_changes_no_other(beta):
    found = class_balanced_weights(torch.tensor([7, 0, 2]), beta)
    assert found[1] == 0
    assert torch.equal(found[[0, 2]], class_balanced_weights(torch.tensor([7, 2]), beta))


@pytest.mark.parametrize("beta", [1.0, -0.1, float("nan")])
def test_beta_out_of_range_is_refused(beta):
    with pytest.raises(LongTailError, match=r"beta=.* at least 0 and below 1"):
        class_balanced_weights(torch.tensor([3, 1]), beta)
