"""Computes means of vectors over all processes, with few and large all-reduces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import dense
from gradlens.distributed.team import Team

# The most entries of one all-reduce.
BUCKET = 2**26


def means(parts: Sequence[tuple[Sequence[int], Grads]], params: Sequence[nn.Parameter], team: Team) -> list[Grads]:
    """Returns the means of vectors over all processes, with one all-reduce for each dtype, device and 2 ** 26 entries.

    Args:
        parts: Pairs of indices of parameters and a vector over these; a gradient that is None counts as zero.
        params: All P parameters.
        team: The processes.
    """
    slots: dict[tuple[torch.device, torch.dtype], list[tuple[int, int, int]]] = {}
    for number, (at, _) in enumerate(parts):
        for place, index in enumerate(at):
            param = params[index]
            kind = (param.device, torch.promote_types(param.dtype, torch.float32))
            slots.setdefault(kind, []).append((number, place, index))
    found: list[Grads] = [[None] * len(at) for at, _ in parts]
    for (device, dtype), members in slots.items():
        for bucket in _buckets(members, params):
            flat = torch.zeros(sum(params[index].numel() for _, _, index in bucket), dtype=dtype, device=device)
            start = 0
            for number, place, index in bucket:
                stop = start + params[index].numel()
                gradient = parts[number][1][place]
                if gradient is not None:
                    flat[start:stop].copy_(dense(gradient).reshape(-1))
                found[number][place] = flat[start:stop].view(params[index].shape)
                start = stop
            team.sum(flat).div_(team.size)
    return found


def _buckets(
    members: Sequence[tuple[int, int, int]], params: Sequence[nn.Parameter]
) -> list[list[tuple[int, int, int]]]:
    buckets: list[list[tuple[int, int, int]]] = [[]]
    held = 0
    for member in members:
        size = params[member[2]].numel()
        if buckets[-1] and held + size > BUCKET:
            buckets.append([])
            held = 0
        buckets[-1].append(member)
        held += size
    return buckets
