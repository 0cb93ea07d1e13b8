"""DrawnSamples: remembers which samples a loader has drawn, to check that labels in training are those of the dataset."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # NumPy is not imported before the script does so
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

# The latest batches of a dataset that are remembered. Workers and frameworks draw some batches in advance.
REMEMBERED = 64
# Indices below this are looked at where the size of a dataset does not matter.
MOST = 2**62


class DrawnSamples:
    """The indices of the samples in the latest batches of a dataset.

    Attributes:
        dataset: The dataset.
        complete: Whether all batches were seen. If not, some may have been drawn before tracking began.
    """

    def __init__(self, dataset: Any, *, complete: bool = True) -> None:
        self.dataset = dataset
        self.complete = complete
        self._batches: deque[Any] = deque(maxlen=REMEMBERED)

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, index: Any) -> None:
        """Adds a batch: the indices, or the single index, that the sampler gave."""
        self._batches.append(index)

    def agree(self, claimed: Ids, trained: Ids) -> bool:
        """Says whether the labels of a batch are those of one of the drawn batches.

        Args:
            claimed: [N] class ids of the dataset's samples.
            trained: [B] class ids that the script trains on: a batch, a part of it, or a batch several times (views).
        """
        return any(_made_of(trained, claimed[at]) for at in self.indices(len(claimed)))

    def are_indices(self, ids: Ids) -> bool:
        """Says whether these are the indices of one of the drawn batches, and no labels."""
        return any(len(at) > 1 and len(at) == len(ids) and bool((at == ids).all()) for at in self.indices(MOST))

    def indices(self, size: int) -> Iterable[Ids]:
        """Yields the indices of the latest batches, the newest first, that fit a dataset of ``size`` samples."""
        import numpy as np

        for batch in reversed(self._batches):
            at = np.asarray(batch if isinstance(batch, list | tuple) else [batch])
            if (
                at.ndim == 1
                and np.issubdtype(at.dtype, np.integer)
                and at.size
                and -size <= at.min() <= at.max() < size
            ):
                yield at.astype(np.int64)


def _made_of(trained: Ids, batch: Ids) -> bool:
    import numpy as np

    n, m = len(trained), len(batch)
    if 0 < n <= m:
        windows = np.lib.stride_tricks.sliding_window_view(batch, n)
        return bool((windows == trained).all(1).any())
    if n == 0 or n % m:
        return False
    return np.array_equal(trained, np.tile(batch, n // m)) or np.array_equal(trained, np.repeat(batch, n // m))
