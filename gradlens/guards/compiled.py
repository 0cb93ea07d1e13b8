"""Compiled models: a measurement runs their backward pass several times, so torch.compile must allow that."""

from __future__ import annotations

TAG = "gradlens"


def keep_buffers() -> None:
    """Turns donated buffers off for everything that ``torch.compile`` compiles from now on.

    By default a compiled backward pass writes into the tensors that the forward pass saved ("donated buffers"), and refuses
    to run with ``retain_graph=True``. Without donated buffers it computes the same numbers and keeps its memory a little
    longer.

    The tag gives these compiled passes a cache of their own. torch's caches do not tell the two kinds apart (seen with torch
    2.15), and a pass that was compiled with donated buffers returns wrong gradients when it runs a second time.
    """
    import torch._functorch.config
    import torch.compiler.config

    torch._functorch.config.donated_buffer = False
    tag = torch.compiler.config.cache_key_tag
    if TAG not in tag:
        torch.compiler.config.cache_key_tag = f"{tag}{TAG}"
