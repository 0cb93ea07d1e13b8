"""Counts how often the host waits for the GPU in a step: without a lens, in an unmeasured step, and in a measured step.

It counts in two ways: with ``torch.cuda.set_sync_debug_mode("warn")``, and with the profiler (waiting calls of the CUDA runtime).
On a CPU nothing waits. There the profiler counts the operations that would wait on a GPU, since they read values of a tensor.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from typing import Any

import torch
from gpu.networks import GROUPS, NETWORKS
from gpu.record import Record, deterministic, parser, synchronize

from gradlens import Lens

EVERY = 4
STEPS = 3 * EVERY
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2")
Step = Callable[[], None]


def warned(step: Step) -> tuple[int, list[str]]:
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


def profiled(step: Step, device: str) -> int:
    """Returns the number of waiting calls of the CUDA runtime in a step; on a CPU of operations that read values."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if device.startswith("cuda") else []
    with torch.profiler.profile(activities=activities) as seen:
        step()
    # On a GPU this includes one wait of the profiler itself, after the step.
    counted = WAITS if device.startswith("cuda") else READS
    return sum(event.count for event in seen.key_averages() if event.key in counted)


def steps_of(name: str, engine: str | None, device: str, **options: Any) -> tuple[Step, Any]:
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
    synchronize(device)
    found: dict[str, list[Any]] = {"unmeasured": [], "measured": []}
    places: set[str] = set()
    for _ in range(STEPS if device.startswith("cuda") else 0):
        kind = "measured" if lens is not None and lens.armed else "unmeasured"
        waits, where = warned(step)
        found[kind].append(waits)
        places.update(where)
    for _ in range(EVERY):
        kind = "measured" if lens is not None and lens.armed else "unmeasured"
        synchronize(device)
        found.setdefault(f"{kind}_profiled", []).append(profiled(step, device))
    used = None if lens is None else lens.engine_name
    return {"engine_used": used, **found, "places": sorted(places)[:12]}


def beyond(plain: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Returns the counts of a lens, and in ``more_waits`` by how much an unmeasured step exceeds a plain one; it must be 0.

    Of the plain steps the one with the fewest waits counts: an early one may have a wait of its own.
    """
    ways = [key for key in ("unmeasured", "unmeasured_profiled") if found.get(key)]
    return found | {"more_waits": max(max(found[key]) - min(plain[key]) for key in ways)}


def main() -> None:
    """Counts for each network and engine."""
    args = parser(__doc__).parse_args()
    deterministic()
    record = Record(args.out)
    for name in ("mlp",) if args.small else ("resnet32-batchnorm", "resnet32-groupnorm", "attention"):
        plain = count(name, None, args.device)
        record.add(network=name, engine=None, **plain)
        for engine in ("masked", "split", "func"):
            record.attempt(
                {"network": name, "engine": engine},
                lambda n=name, e=engine, p=plain: beyond(p, count(n, e, args.device)),
            )
        record.attempt(
            {"network": name, "engine": "auto", "options": "layers, update"},
            lambda n=name, p=plain: beyond(p, count(n, "auto", args.device, layers=True, update=True)),
        )


if __name__ == "__main__":
    main()
