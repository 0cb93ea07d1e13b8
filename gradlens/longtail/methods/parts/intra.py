"""The intra-class margin loss of phase II (paper, Section 3.2, L_intra in Equation 9)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from gradlens.longtail.errors import LongTailError


def intra_class_loss(
    scores: Tensor,
    labels: Tensor,
    num_old: int,
    *,
    margin: float = 0.5,
    hardest: int | None = 2,
    negatives: Literal["new", "all"] = "new",
    samples: Literal["memory", "all"] = "memory",
) -> Tensor:
    """Returns a margin ranking loss on cosine scores. It keeps the new classes from dominating the memory samples.

    L_intra = mean over pairs (i, k) of max(0, margin - s(x_i, w_y) + s(x_i, w_k)), where k are the K = ``hardest``
    negatives with the highest score. The paper gives neither K nor the margin. Its formula is over all samples and classes,
    but its stated purpose is about memory samples against new classes; this purpose is the default. The formula as printed is
    ``hardest=None, negatives="all", samples="all"``.

    Args:
        scores: [B, C] cosines of features and class weights, before the classifier's scale.
        labels: [B] int64 class ids. Samples with ids below ``num_old`` are memory samples (head classes come first).
        num_old: C1; the new classes are C1..C-1.
        margin: Demanded difference between the scores.
        hardest: K; None = all negative classes.
        negatives: Which classes are negatives: "new" ones or "all". The sample's own class never is.
        samples: Which samples count: those of the "memory" or "all".

    Returns:
        Scalar; 0 with a zero gradient if the batch has no pair.

    Raises:
        LongTailError: The shapes do not match, C1 is outside 1..C, K is below 1, or a choice is unknown.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise LongTailError(f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)}; needed are [B, C] and [B]")
    classes = scores.shape[1]
    if not 1 <= num_old <= classes:
        raise LongTailError(f"num_old={num_old} of {classes} classes; the old classes are the first C1, 1..C of them")
    if hardest is not None and hardest < 1:
        raise LongTailError(f"hardest={hardest}; give the number of negatives, at least 1, or None for all")
    if negatives not in ("new", "all") or samples not in ("memory", "all"):
        raise LongTailError(f"negatives={negatives!r}, samples={samples!r}; choose new or all, and memory or all")
    candidate = torch.arange(classes, device=scores.device) >= (num_old if negatives == "new" else 0)  # [C]
    allowed = candidate.repeat(len(labels), 1)  # [B, C]
    allowed[torch.arange(len(labels), device=labels.device), labels] = False
    if samples == "memory":
        allowed &= (labels < num_old).unsqueeze(1)
    width = classes if hardest is None else min(hardest, classes)
    # Masked classes come last. If a row has fewer negatives than K, `real` is False for them.
    order = scores.detach().masked_fill(~allowed, -torch.inf).topk(width, dim=1).indices  # [B, K]
    real = allowed.gather(1, order)
    gap = margin - scores.gather(1, labels.unsqueeze(1)) + scores.gather(1, order)  # [B, K]
    pairs = gap[real].clamp_min(0)
    return pairs.sum() / max(len(pairs), 1)
