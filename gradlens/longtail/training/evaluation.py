"""Evaluates a network: its accuracy on many-, medium- and few-shot classes, and overall."""

from __future__ import annotations

import torch

from gradlens.longtail.data.counts import Counts
from gradlens.longtail.data.labelled_images import LabelledImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.processes import ALONE, Processes
from gradlens.longtail.training.accuracy import shot_accuracies

BATCH = 500


@torch.no_grad()
def evaluate(model: Network, images: LabelledImages, counts: Counts, processes: Processes = ALONE) -> dict[str, float]:
    """Returns the top-1 accuracy in percent of "many", "medium" and "few" (if they exist) and "overall".

    A classifier that only has the head classes is wrong on all images of the other classes. Afterwards the network is in
    eval mode.

    Args:
        model: The network.
        images: Images to evaluate on.
        counts: [C] training images per class, which decide the shots.
        processes: They share the images, and all get the same result.
    """
    model.eval()
    total = len(images.labels)
    own = torch.arange(total)[processes.share(total)]
    batches = images.batches(own, BATCH, augmented=False) if len(own) else ()
    none = torch.zeros(0, dtype=torch.int64, device=next(model.parameters()).device)
    predictions = torch.cat([none, *(model(batch).argmax(1) for batch, _ in batches)])
    return shot_accuracies(processes.gather(predictions, total).cpu(), images.labels, counts)
