"""Counts how often the host waits for the GPU in a step: without a lens, in an unmeasured step, and in a measured step.

It counts in two ways: with ``torch.cuda.set_sync_debug_mode("warn")``, and with the profiler (waiting calls of the CUDA runtime).
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from typing import Any

import torch
from gpu.networks import GROUPS, NETWORKS
from gpu.record import Record, deterministic, parser

from gradlens import Lens

EVERY = 4
STEPS = 3 * EVERY
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")


def warned(step: Callable[[], None]) -> tuple[int, list[str]]:
    """Returns how many synchronisations PyTorch warns about in a step, and where in gradlens they were called."""
    places: list[str] = []

    def note(message: Any, *_: Any, **__: Any) -> None:
        if "synchroniz" in str(message):
            own = [frame for frame in traceback.extract_stack() if "gradlens/" in frame.filename]
            places.append(
                " < ".join(f"{f.filename.rpartition('gradlens/')[2]}:{f.lineno}" for f in own[:-4:-1]) or "plain"
            )

    ordinary, warnings.showwarning = warnings.showwarning, note
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = note
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        warnings.showwarning = ordinary
    return len(places), places


def profiled(step: Callable[[], None]) -> int:
    """Returns the number of waiting calls of the CUDA runtime in a step."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    ) as seen:
        step()
    # This includes one wait of the profiler itself, after the step.
    return sum(event.count for event in seen.key_averages() if event.key in WAITS)


def steps_of(name: str, engine: str | None, device: str, **options: Any) -> tuple[Callable[[], None], Any]:
    """Returns a training step and its lens (None without an engine)."""
    network = NETWORKS[name]
    torch.manual_seed(0)
    model = network.build().to(device).train()
    inputs, labels = network.batch(64, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    if engine is None:
        lens = None
    else:
        lens = Lens(model, GROUPS, optimizer=optimizer, every=EVERY, engine=engine, announce=lambda _: None, **options)

    def step() -> None:
        optimizer.zero_grad()
        loss = network.rows(model(inputs), labels).mean()
        if lens is None:
            loss.backward()
        else:
            lens.backward(loss, labels)
        optimizer.step()

    return step, lens


def count(name: str, engine: str | None, device: str, **options: Any) -> dict[str, Any]:
    """Returns the counts of a few steps, unmeasured and measured."""
    step, lens = steps_of(name, engine, device, **options)
    for _ in range(2 * EVERY + 1):  # warm-up; then three unmeasured steps, a measured one, ...
        step()
    torch.cuda.synchronize()
    found: dict[str, list[Any]] = {"unmeasured": [], "measured": []}
    places: set[str] = set()
    for _ in range(STEPS):
        kind = "measured" if lens is not None and lens.armed else "unmeasured"
        waits, where = warned(step)
        found[kind].append(waits)
        places.update(where)
    for _ in range(EVERY):
        kind = "measured" if lens is not None and lens.armed else "unmeasured"
        torch.cuda.synchronize()
        found.setdefault(f"{kind}_profiled", []).append(profiled(step))
    used = None if lens is None else lens.engine_name
    return {"engine_used": used, **found, "places": sorted(places)[:12]}


def main() -> None:
    """Counts for each network and engine."""
    args = parser(__doc__).parse_args()
    deterministic()
    record = Record(args.out)
    if not args.device.startswith("cuda"):
        record.add(skipped="needs a CUDA device")
        return
    for name in ("resnet32-batchnorm", "resnet32-groupnorm", "attention"):
        record.attempt({"network": name, "engine": None}, lambda n=name: count(n, None, args.device))
        for engine in ("masked", "split", "func"):
            record.attempt({"network": name, "engine": engine}, lambda n=name, e=engine: count(n, e, args.device))
        record.attempt(
            {"network": name, "engine": "auto", "options": "layers, update"},
            lambda n=name: count(n, "auto", args.device, layers=True, update=True),
        )


if __name__ == "__main__":
    main()
