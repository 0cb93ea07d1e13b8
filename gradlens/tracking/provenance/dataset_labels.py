"""Says whether a place in a batch holds the data set's own labels, and refuses indices of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from gradlens.class_ids import MOST_CLASSES
from gradlens.tracking.find.batch_path import BatchPath
from gradlens.tracking.find.class_counts import labels_of
from gradlens.tracking.provenance.loss_modules import is_label_name

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from gradlens.tracking.find.drawn_samples import DrawnSamples

# A column with more different values than this part of its entries holds the samples' own ids, and no classes.
DISTINCT = 0.5


def own_labels(place: BatchPath, labels: Tensor, loaders: Sequence[tuple[DataLoader[Any], DrawnSamples]]) -> str | None:
    """Returns where the data set says that these are labels, as text for the user; None if it does not say so.

    Args:
        place: The place in the batch.
        labels: What lies there in one batch: class ids [B] or anything else.
        loaders: Loaders that may train, each with the samples that were drawn from it.
    """
    flat = labels.ndim == 1 and not labels.is_floating_point()
    ids = labels.detach().cpu().numpy().astype(np.int64) if flat else None
    if ids is not None:
        if any(drawn.are_indices(ids) for _, drawn in loaders):
            return None
        for loader, drawn in loaders:
            for column, source in labels_of(loader.dataset, MOST_CLASSES):
                if drawn.agree(column, ids):
                    return source if len(np.unique(column)) <= DISTINCT * len(column) else None
    last = place.steps[-1] if place.steps else None
    name = last[0] if isinstance(last, tuple) else last
    if isinstance(name, str) and is_label_name(name):
        return f"named {name!r}"
    return "the second item of the samples" if place.steps == (1,) else None
