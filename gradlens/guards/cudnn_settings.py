"""Changes single settings of cuDNN for a time, and leaves all others as they are.

``torch.backends.cudnn.flags(deterministic=True)`` does not do this. It sets every setting that it is not given to its own
default. Its default for ``enabled`` is False, so convolutions on a GPU run about 25 times slower (torch 2.11 and 2.15).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.backends import cudnn


@contextmanager
def cudnn_settings(**settings: bool) -> Iterator[None]:
    """Sets attributes of ``torch.backends.cudnn`` inside the ``with`` block, and sets them back after it.

    Args:
        **settings: ``deterministic``, ``benchmark`` and the like.
    """
    before = {name: getattr(cudnn, name) for name in settings}
    for name, value in settings.items():
        setattr(cudnn, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(cudnn, name, value)
