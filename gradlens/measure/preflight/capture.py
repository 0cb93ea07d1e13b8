"""Refuses a training step that is captured into a CUDA graph."""

from __future__ import annotations

import torch

from gradlens.measure.preflight.refusal import Refusal

CAPTURED = "the backward pass is captured into a CUDA graph, so passes of a measurement would be replayed with it"


def check_capture() -> None:
    """Checks that no CUDA graph is being captured. Does not touch a GPU if CUDA is not in use.

    Raises:
        Refusal: A CUDA graph is being captured.
    """
    if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():  # type: ignore[no-untyped-call]
        raise Refusal(CAPTURED)
