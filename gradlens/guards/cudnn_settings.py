"""Settings of cuDNN for a while, all others left as they are.

``torch.backends.cudnn.flags(deterministic=True)`` does not do this: what it is not given it sets to defaults of its own, and
``enabled`` is False there, so that convolutions on a GPU run about 25 times slower (torch 2.11 and 2.15).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.backends import cudnn


@contextmanager
def cudnn_settings(**settings: bool) -> Iterator[None]:
    """Sets attributes of ``torch.backends.cudnn`` inside.

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
