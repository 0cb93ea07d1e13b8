"""Times steps in turns with plain ones, and the memory that they take."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from gpu.training import Step
from overhead.clocked import now


def timed(step: Step, device: str) -> float:
    """Returns the milliseconds of a step: between CUDA events on a GPU; on a CPU see ``overhead.clocked.now``."""
    if not device.startswith("cuda"):
        begun = now(device)
        step()
        return 1000 * (now(device) - begun)
    begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begun.record()
    step()
    ended.record()
    torch.cuda.synchronize()
    return float(begun.elapsed_time(ended))


def in_turns(step: Step, plain: Step, device: str, seconds: float, settling: int, *, fewest: int = 3) -> dict[str, Any]:
    """Times a step and a plain step in turns, after the first steps.

    Args:
        step: The step.
        plain: The plain step.
        device: "cuda" or "cpu".
        seconds: About how long to take steps.
        settling: Number of first steps, which are not timed with the others.
        fewest: The fewest steps that are timed.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if device.startswith("cuda") else 0
    first = [timed(step, device) for _ in range(settling)]
    peak = torch.cuda.max_memory_allocated() - before if device.startswith("cuda") else None
    own, bare = [], []
    until = time.perf_counter() + seconds
    while len(own) < fewest or (time.perf_counter() < until and len(own) < 60):
        bare.append(timed(plain, device))
        own.append(timed(step, device))
    ratios = sorted(a / b for a, b in zip(own, bare, strict=True))
    return {
        "ms": median(own),
        "plain_ms": median(bare),
        "ratio": median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
        "steps": len(own),
        "first_ms": first[0],
        "peak_bytes": peak,
    }
