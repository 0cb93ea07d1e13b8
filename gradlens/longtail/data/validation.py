"""Chooses a validation split from the images of a training set, so that nothing has to be chosen on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.longtail.data.counts import Counts
from gradlens.longtail.data.subset import Subset, select_subset
from gradlens.longtail.errors import LongTailError

SPLIT = "validation"


@dataclass(frozen=True)
class HeldOut:
    """A subset to train on, and the images that are held out for validation.

    Attributes:
        subset: The images to train on.
        validation: The validation images, as many of each class.
        lost: Images that the subset had to give up, since too few were outside it.
    """

    subset: Subset
    validation: Subset
    lost: int

    def to_json(self) -> dict[str, int]:
        """Returns the facts for run.json and result.json."""
        images = int(self.validation.counts.sum())
        return {
            "images_per_class": int(self.validation.counts[0]),
            "images": images,
            "images_that_training_lost": self.lost,
        }


def hold_out(labels: NDArray[Any] | Sequence[int], subset: Subset, per_class: int, seed: int) -> HeldOut:
    """Holds out ``per_class`` validation images of each class.

    In each class they are the images that come next in the draw after those of the subset. If there are too few of them, the
    subset gives up its last ones. No class that is larger than another becomes smaller than it.

    Args:
        labels: [N] class id of each image of the full training set.
        subset: The subset, drawn with ``seed``, or all images.
        per_class: Validation images of each class, at least 1.
        seed: Seed of the subset.

    Raises:
        LongTailError: ``per_class`` is below 1, or a class would have no image left to train on.
    """
    if per_class < 1:
        raise LongTailError(f"validation={per_class}; give the number of validation images of each class, at least 1")
    available = np.bincount(np.asarray(labels, dtype=np.int64), minlength=len(subset.counts))
    kept = _kept(subset.counts, available - per_class)
    if kept.min() < 1:
        smallest = int(available.argmin())
        most = int(available.min()) - 1
        raise LongTailError(
            f"class {smallest} has {available[smallest]} images, and validation={per_class} of each class would leave none to "
            f"train on; {f'choose at most {most}' if most > 0 else 'train without a validation split'}"
        )
    both = select_subset(labels, kept + per_class, seed)
    ends = np.cumsum(both.counts)
    held = np.concatenate([both.indices[end - per_class : end] for end in ends])
    validation = Subset.of(held, [ranks[-per_class:] for ranks in both.ranks], np.full(len(kept), per_class))
    lost = int((subset.counts - kept).sum())
    if not lost:
        return HeldOut(subset, validation, 0)
    if subset.ranks:
        return HeldOut(select_subset(labels, kept, seed), validation, lost)
    rest = np.setdiff1d(subset.indices, held)  # in the order of the file
    return HeldOut(Subset(rest, (), kept, ""), validation, lost)


def _kept(counts: Counts, room: NDArray[np.int64]) -> Counts:
    """Returns [C] images to train on: at most ``counts`` and ``room``, in the order of ``counts``."""
    order = np.argsort(-counts, kind="stable")
    kept = np.empty_like(counts)
    kept[order] = np.minimum.accumulate(np.minimum(counts, room)[order])
    return kept
