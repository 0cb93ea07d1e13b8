"""Compiled models: their backward passes must be repeatable to be measured."""

from __future__ import annotations

TAG = "gradlens"


def keep_buffers() -> None:
    """Has ``torch.compile`` leave the buffers of backward passes in place, from now on.

    By default compiled backward passes write into what the forward pass saved ("donated buffers"), and refuse to run with
    ``retain_graph=True``. Without, they compute the same numbers and keep their memory a little longer. The tag gives what is
    compiled so a cache of its own: torch's caches do not tell the two apart (seen with torch 2.15), and a pass that was
    compiled with donated buffers returns wrong gradients when it runs a second time.
    """
    import torch._functorch.config
    import torch.compiler.config

    torch._functorch.config.donated_buffer = False
    tag = torch.compiler.config.cache_key_tag
    if TAG not in tag:
        torch.compiler.config.cache_key_tag = f"{tag}{TAG}"
