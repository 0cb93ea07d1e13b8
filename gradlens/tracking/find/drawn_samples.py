"""Whether labels that a script trains on are those of the samples that its loader has drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # NumPy is not imported before the script does so
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

# Batches of a dataset that are remembered: workers and frameworks draw some ahead.
REMEMBERED = 64


class DrawnSamples:
    """Which samples of a dataset the latest batches hold.

    Attributes:
        dataset: The dataset.
        complete: Whether all batches were seen; else some may have been drawn before anybody looked.
    """

    def __init__(self, dataset: Any, *, complete: bool = True) -> None:
        self.dataset = dataset
        self.complete = complete
        self._batches: deque[Any] = deque(maxlen=REMEMBERED)

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, index: Any) -> None:
        """Takes what a sampler gave for one batch: indices, or a single one."""
        self._batches.append(index)

    def agree(self, claimed: Ids, trained: Ids) -> bool:
        """Says whether labels of a batch can be those of a batch that was drawn.

        Args:
            claimed: [N] class ids of the dataset's samples.
            trained: [B] class ids that the script trains on: a batch, a part of one, or one several times (as views).
        """
        return any(_made_of(trained, claimed[at]) for at in self._indices(len(claimed)))

    def _indices(self, size: int) -> Iterable[Ids]:
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
