"""Measures what the lens costs apart from measured steps: unmeasured steps, a budget, the log, the import, a probe."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens import ClassGroups, Lens
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from gradlens.measure.probe import probe
from gradlens.metrics.gram import REST
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import RunMeta, RunWriter
from overhead.cases import CLASSES, GROUPS, Case
from overhead.clocked import now
from overhead.methods import plain


def unmeasured_steps(case: Case, pairs: int, device: str, seed: int) -> dict[str, float]:
    """Returns the median seconds of a plain step and of an unmeasured step, and the median ratio of pairs."""
    untouched = plain(case.setup(device, seed))
    setup = case.setup(device, seed)
    seconds: dict[str, list[float]] = {"plain": [], "unmeasured": []}
    with Lens(setup.model, GROUPS, optimizer=setup.optimizer, every=10**9) as lens:

        def tracked() -> None:
            setup.optimizer.zero_grad()
            lens.backward(F.cross_entropy(setup.model(setup.inputs), setup.labels), setup.labels)
            setup.optimizer.step()

        tracked()  # the first step, which is measured
        for _ in range(3):
            untouched(), tracked()
        for number in range(pairs):
            # Each of the two goes first in every second pair, since the order has an effect on the caches.
            order = [("plain", untouched), ("unmeasured", tracked)]
            for name, step in order if number % 2 else order[::-1]:
                begun = now(device)
                step()
                seconds[name].append(now(device) - begun)
    ratios = [b / a for a, b in zip(seconds["plain"], seconds["unmeasured"], strict=True)]
    return {name: median(times) for name, times in seconds.items()} | {"ratio": median(ratios)}


def within_budget(case: Case, steps: int, fraction: float, device: str, seed: int) -> dict[str, float]:
    """Returns the time of ``steps`` steps with a budget over that of as many plain steps. Warm-up and checks are included.

    The two trainings take steps in turns. The lens is told that the time of the other training is not its own.
    """
    untouched = plain(case.setup(device, seed))
    setup = case.setup(device, seed)
    for _ in range(3):
        untouched()
    bare = tracked = 0.0
    measured = 0
    with Lens(setup.model, GROUPS, optimizer=setup.optimizer, budget=fraction) as lens:
        for _ in range(steps):
            begun, on_the_wall = now(device), time.perf_counter()
            untouched()
            between = now(device)
            lens._stepper.schedule.clock.outside(time.perf_counter() - on_the_wall)
            measured += lens.armed
            setup.optimizer.zero_grad()
            lens.backward(F.cross_entropy(setup.model(setup.inputs), setup.labels), setup.labels)
            setup.optimizer.step()
            bare, tracked = bare + between - begun, tracked + now(device) - between
        said = lens.overhead
    return {"ratio": tracked / bare, "measured_steps": measured, "steps": steps, "overhead_said": said or 0.0}


def writing(measurements: int, layers: int) -> dict[str, float]:
    """Returns the mean and median seconds that passing a measurement to the log takes, including flushes in between."""
    names = (*GROUPS.names, REST)
    sample = Measurement(
        step=0,
        time=time.time(),
        epoch=0,
        names=names,
        gram=np.eye(len(names)),
        layers=np.ones((layers, len(names), len(names)), dtype=np.float32) if layers else None,
        counts=np.ones(len(GROUPS)),
        loss=np.ones(len(GROUPS)),
        correct=np.ones(len(GROUPS)),
        residual=1e-7,
        total_loss=1.0,
        seconds=0.01,
    )
    meta = RunMeta(groups=GROUPS.to_json(), names=names, layer_names=tuple(f"layer{i}" for i in range(layers)))
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        writer = RunWriter(Path(folder) / "run", meta)
        for step in range(measurements):
            item = replace(sample, step=step)
            begun = time.perf_counter()
            writer.append(item)
            seconds.append(time.perf_counter() - begun)
            time.sleep(0.0005)  # the time of a step, in which the writer's thread works as it does during a training
        writer.close()
    return {"mean": mean(seconds), "median": median(seconds)}


def importing(repetitions: int) -> dict[str, float]:
    """Returns the median seconds of ``import torch`` and of importing the lens after it, each in a fresh interpreter."""
    code = (
        "import time; a = time.perf_counter(); import torch; b = time.perf_counter(); from gradlens import ClassGroups, Lens;"
        "print(b - a, time.perf_counter() - b)"
    )
    runs = [
        [float(word) for word in subprocess.check_output([sys.executable, "-c", code], text=True).split()]
        for _ in range(repetitions)
    ]
    return {"torch": median(run[0] for run in runs), "gradlens": median(run[1] for run in runs)}


def probing(depth: int, images: int, batch: int, device: str, seed: int) -> dict[str, float]:
    """Returns the time of a probe of every class, relative to plain forward and backward passes over the same images."""
    torch.manual_seed(seed)
    model = ResNetCifar(depth, CLASSES).to(device).eval()
    inputs, labels = torch.randn(images, 3, 32, 32).to(device), torch.randperm(images).to(device) % CLASSES
    groups = ClassGroups({f"class {c}": [c] for c in range(CLASSES)}, CLASSES)

    params = list(model.parameters())
    torch.autograd.grad(F.cross_entropy(model(inputs[:batch]), labels[:batch]), params)  # warm-up

    def passes(part: list[tuple[Tensor, Tensor]]) -> float:
        begun = now(device)
        for x, y in part:
            torch.autograd.grad(F.cross_entropy(model(x), y), params)
        return now(device) - begun

    everything = list(zip(inputs.split(batch), labels.split(batch), strict=True))
    half = len(everything) // 2
    # Half of the plain passes run before the probe, half after it, so that a machine that slows down slows both.
    bare = passes(everything[:half])
    begun = now(device)
    probe(model, everything, groups)
    probed = now(device) - begun
    bare += passes(everything[half:])
    return {"ratio": probed / bare, "seconds": probed, "plain_seconds": bare, "images": images}
