"""Compiled models may run backward more than once from now on, and torch's caches tell them from others."""

from __future__ import annotations

import pytest
import torch._functorch.config
import torch.compiler.config

from gradlens.guards.compiled import keep_buffers


@pytest.mark.parametrize(("tag", "after"), [("", "gradlens"), ("mine", "minegradlens"), ("gradlens", "gradlens")])
def test_buffers_are_kept_and_the_cache_has_a_tag_of_its_own(tag, after):
    with torch._functorch.config.patch(donated_buffer=True), torch.compiler.config.patch(cache_key_tag=tag):
        for _ in range(2):
            keep_buffers()
            assert torch._functorch.config.donated_buffer is False
            assert torch.compiler.config.cache_key_tag == after
