"""The expected calibration error against its definition, bin by bin, and by hand."""

import math

import numpy as np
import pytest
import torch

from gradlens.longtail.training.calibration import expected_calibration_error


def by_definition(confidences, correct, bins):
    """Guo et al. 2017, Equations 2 and 3: the bin m holds the confidences in ((m - 1) / M, m / M]."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidences) if (m - 1) / bins < c <= m / bins]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            confidence = sum(confidences[i] for i in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return 100 * total


def test_two_bins_by_hand():
    # bin 1: 0.2 and 0.5 (its upper edge), one right: |0.5 - 0.35|; bin 2: 0.9, right: 0.1
    confidences, correct = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64), torch.tensor([False, True, True])
    assert expected_calibration_error(confidences, correct, bins=2) == pytest.approx(100 * (2 * 0.15 + 0.1) / 3)


@pytest.mark.parametrize("bins", [15, 10, 1])
def test_against_the_definition(bins):
    rng = np.random.default_rng(1)
    confidences = rng.random(400) ** 0.3
    correct = rng.random(400) < confidences**2
    found = expected_calibration_error(torch.tensor(confidences), torch.tensor(correct), bins)
    assert found == pytest.approx(by_definition(confidences.tolist(), correct.tolist(), bins), rel=1e-12)


def test_a_network_that_knows_how_sure_it_may_be_has_no_error():
    confidences = torch.tensor([0.75] * 4 + [0.5] * 2 + [1.0])
    correct = torch.tensor([True, True, True, False, True, False, True])
    assert expected_calibration_error(confidences, correct) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error(torch.ones(4), torch.zeros(4, dtype=torch.bool)) == 100
    assert math.isnan(expected_calibration_error(torch.zeros(0), torch.zeros(0, dtype=torch.bool)))
