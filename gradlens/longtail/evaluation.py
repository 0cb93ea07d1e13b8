"""Evaluating a network: accuracy of many, medium and few shot classes."""

from __future__ import annotations

import torch

from gradlens.longtail.accuracy import shot_accuracies
from gradlens.longtail.counts import Counts
from gradlens.longtail.labelled_images import LabelledImages
from gradlens.longtail.network import Network

BATCH = 500


@torch.no_grad()
def evaluate(model: Network, images: LabelledImages, counts: Counts) -> dict[str, float]:
    """Returns top-1 accuracy in percent of many, medium, few (those that exist) and "overall".

    A classifier that has only the head classes so far is wrong on every image of the others. The network is left in eval
    mode.

    Args:
        model: The network.
        images: Images to evaluate on.
        counts: [C] training images per class, which decide the shots.
    """
    model.eval()
    everything = torch.arange(len(images.labels))
    predictions = [model(batch).argmax(1).cpu() for batch, _ in images.batches(everything, BATCH, augmented=False)]
    return shot_accuracies(torch.cat(predictions), images.labels, counts)
