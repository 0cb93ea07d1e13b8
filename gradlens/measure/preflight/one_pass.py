"""Finds nodes of a graph whose backward pass must not run twice: it overwrites memory that it needs again."""

from __future__ import annotations

from typing import Any

GRAPHED = (
    "torch.cuda.make_graphed_callables replays the backward pass into memory that it uses each time, so passes of a "
    "measurement would overwrite the training's gradients; track the training without it"
)
DONATED = (
    "torch.compile compiled the backward pass before gradlens was there, and lets it write into what the forward pass saved; "
    "make the Lens before the compiled model first runs, or use `gradlens track`"
)
# Libraries for GPUs whose functions keep one pass: what they write over, and what to do.
FUSED = {
    "liger_kernel": (
        "Liger's kernels compute gradients in the forward pass and write over them in the backward pass, so passes of a "
        "measurement would spoil the training's gradients; train without them (Transformers and TRL: use_liger_kernel=False)"
    ),
    "cut_cross_entropy": (
        "Apple's cut cross entropy leaves out small gradients, and which ones depends on the whole batch, so its gradient is no "
        "sum over groups; track a training with torch's cross_entropy"
    ),
}


def why_fused(node: Any) -> str | None:
    """Returns the line about a function of a library with fused losses; None for other nodes."""
    function = getattr(type(node), "_forward_cls", None)
    return None if function is None else FUSED.get(str(function.__module__).partition(".")[0])


def why_once(node: Any) -> str | None:
    """Returns why a node's backward pass must not be repeated, or None.

    Args:
        node: A node of the autograd graph.
    """
    function = getattr(type(node), "_forward_cls", None)  # that of a torch.autograd.Function
    if function is None:
        return None
    if function.__module__ == "torch.cuda.graphs":
        return GRAPHED
    if (fused := why_fused(node)) is not None:
        return fused
    # torch sets this when it compiles the backward pass. It is empty if donated buffers were off at that time. torch itself
    # refuses a second pass only while they are on.
    if getattr(getattr(function, "metadata", None), "bw_donated_idxs", None):
        return DONATED
    return None
