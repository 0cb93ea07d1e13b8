"""Measures how many images a second the lab trains, beside a bare loop by hand, also with its step as a CUDA graph.

All train the same ResNet-32 on the same random bytes of CIFAR's shape, with the same batch, optimizer, crops and flips. They are
timed in turns. The lab trains without a lens, and with one that measures within its usual budget.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from gpu.precision import autocast
from gpu.record import Record, parser, synchronize
from torch import Tensor

from gradlens.longtail.data.augment import crop_and_flip
from gradlens.longtail.data.cifar import MEAN, STD
from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.methods import CE
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.small_images import SETTINGS, preparing, resnet
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching

CLASSES = 100
WARM_UP = 3  # steps before a graph is recorded
Epoch = Callable[[], float]  # trains an epoch and returns its seconds


class Rate:
    """The data and the network of all loops.

    Attributes:
        images: Number of images in an epoch.
        task: The task of the lab.
    """

    def __init__(self, device: str, depth: int, batch: int, steps: int) -> None:
        self.device, self.batch, self.images = device, batch, batch * steps
        generator = torch.Generator().manual_seed(0)
        pictures = torch.randint(0, 256, (self.images, 3, 32, 32), generator=generator, dtype=torch.uint8)
        labels = torch.arange(self.images) % CLASSES
        data = ImageSet(pictures, labels, tuple(str(c) for c in range(CLASSES)))
        test = ImageSet(pictures[:1], labels[:1], data.class_names)
        self._prepare = preparing(MEAN, STD)
        self._pictures, self._labels = pictures.to(device), labels.to(device)
        self.task = Task(
            name="bytes",
            train=TensorImages(data, device, self._prepare, crop_and_flip),
            evaluations={"test": TensorImages(test, device, self._prepare)},
            counts=data.counts(),
            network=resnet(CLASSES),
            settings=SETTINGS.changed({"backbone": f"resnet-{depth}", "epochs": 1, "batch": batch}),
        )

    def bare(self, precision: str, *, graph: bool) -> float:
        """Trains an epoch in a loop by hand.

        Args:
            precision: See ``precision.py``.
            graph: Whether forward pass, backward pass and optimizer step are recorded once as a CUDA graph, and replayed.
        """
        model = resnet(CLASSES)(self.task.settings, False).to(self.device).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        x, y = self._prepare(self._pictures[: self.batch]), self._labels[: self.batch].clone()

        def step() -> Tensor:
            optimizer.zero_grad()
            with autocast(precision, self.device):
                loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        replay = recorded(step) if graph else step
        source = torch.Generator(self.device).manual_seed(0)
        synchronize(self.device)
        begun = time.perf_counter()
        for rows in torch.randperm(self.images).to(self.device).split(self.batch):
            x.copy_(self._prepare(crop_and_flip(self._pictures[rows], source)))
            y.copy_(self._labels[rows])
            loss = replay()
        loss.item()
        return time.perf_counter() - begun

    def lab(self, watching: Watching | None, changes: dict[str, Any]) -> float:
        """Trains an epoch in the lab and returns the seconds that it says."""
        recipe = CE.on(self.task, changes, "experiment")
        with tempfile.TemporaryDirectory() as folder:
            trained = run_training(recipe, self.task, Path(folder) / "run", device=self.device, watching=watching)
            assert trained.fitted is not None
            return float(trained.fitted.history[0]["seconds"])


def recorded(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Returns a function that replays a step as a CUDA graph. The step works on the same tensors each time."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


def ways(rate: Rate) -> dict[str, Epoch]:
    """Returns name -> a way to train an epoch. The first one is what the others are compared with."""
    found: dict[str, Epoch] = {
        "bare loop": lambda: rate.bare("default", graph=False),
        "bare loop, bfloat16": lambda: rate.bare("bfloat16", graph=False),
    }
    if rate.device.startswith("cuda"):
        found |= {
            "bare loop, CUDA graph": lambda: rate.bare("default", graph=True),
            "bare loop, bfloat16, CUDA graph": lambda: rate.bare("bfloat16", graph=True),
        }
    watching = Watching(probe_every=0)
    found |= {"lab": lambda: rate.lab(None, {}), "lab, watched": lambda: rate.lab(watching, {})}
    if "precision" in rate.task.settings:
        found["lab, float32"] = lambda: rate.lab(None, {"precision": "float32"})
    return found


def main() -> None:
    """Times all ways in turns."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=200)
    arguments.add_argument("--repetitions", type=int, default=3)
    args = arguments.parse_args()
    record = Record(args.out)
    torch.set_num_threads(1)
    rate = Rate(args.device, 8, 16, 6) if args.small else Rate(args.device, 32, 128, args.steps)
    failed: dict[str, str] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways(rate)}
    for number in range(1 + args.repetitions):
        for name, train in ways(rate).items():
            if name not in failed:
                try:
                    seconds[name].append(train())
                except RuntimeError as error:  # a network whose step cannot be recorded, or too little memory
                    failed[name] = f"{error}"[:400]
        # The first epoch of each is a warm-up, and counts only until there is another.
        kept = {name: times[min(number, 1) :] for name, times in seconds.items() if name not in failed}
        rows = [row(rate, name, times, kept["bare loop"]) for name, times in kept.items()]
        record.replace(rows + [{"what": name, "failed": text} for name, text in failed.items()])


def row(rate: Rate, name: str, times: list[float], bare: list[float]) -> dict[str, Any]:
    """Returns the row of a way: images a second, and the median ratio of its rate to that of the bare loop."""
    ratios = sorted(b / t for b, t in zip(bare, times, strict=True))
    return {
        "what": name,
        "images_per_second": rate.images / median(times),
        "rate_ratio": median(ratios),
        "rate_ratios": ratios,
        "epochs": len(times),
    }


if __name__ == "__main__":
    main()
