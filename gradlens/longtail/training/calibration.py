"""The expected calibration error: how far confidence and accuracy lie apart."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 15


def expected_calibration_error(confidences: Tensor, correct: Tensor, bins: int = BINS) -> float:
    """Returns the expected calibration error (ECE) in percent (Guo et al. 2017, Equation 3, with their 15 bins).

    The images are put into bins of equal width by their confidence. A bin holds its upper edge and not its lower one, as in
    gpleiss/temperature_scaling. The error is the mean over the images of |accuracy - mean confidence| of their bin.

    Args:
        confidences: [N] probability of the predicted class, in 0..1.
        correct: [N] whether the prediction is right.
        bins: Number of bins.

    Returns:
        The error; NaN if there are no images.
    """
    confidences, correct = confidences.double().cpu(), correct.double().cpu()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    bin_of = torch.bucketize(confidences, edges)
    # |sum of hits - sum of confidences| of a bin is |accuracy - mean confidence| times its images.
    gaps = torch.bincount(bin_of, weights=correct - confidences, minlength=bins).abs()
    return float(100 * gaps.sum() / len(confidences)) if len(confidences) else float("nan")
