"""Measures how fast the lab trains, beside a bare loop by hand and beside a DataLoader with torchvision transforms.

    python experiments/bench_training.py --device cuda

All three train the same ResNet-32 on the same random bytes of CIFAR's shape, with the same batch, optimizer, crops and flips.
They are timed in turns, several times, and the medians are compared. The content of the images does not matter, so no data set
is needed. The script writes a JSON file with versions and hardware.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from gradlens.longtail.data.augment import crop_and_flip
from gradlens.longtail.data.cifar import MEAN, STD
from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.methods import CE
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.small_images import SETTINGS, preparing, resnet
from gradlens.longtail.training.fit import fit

sys.path.insert(0, str(Path(__file__).resolve().parent))
from environment import hardware, public_arguments, versions

CLASSES = 100


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """CIFAR as programs usually read it: a PIL image and torchvision's transforms for each sample."""

    def __init__(self, images: np.ndarray[Any, Any], labels: list[int]) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        """Returns the transformed image and its label."""
        return self.transform(self.images[row]), self.labels[row]

    def __len__(self) -> int:
        return len(self.labels)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, help="steps of each timing; default: 200 on a GPU, 20 on a CPU")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader")
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_training.json")
    return parser.parse_args(arguments)


def trainers(args: argparse.Namespace, steps: int) -> dict[str, Callable[[], float]]:
    """Returns name -> a function for each of the three ways. It trains an epoch and returns its seconds, without set-up.

    Args:
        args: The command line.
        steps: Steps of the epoch.
    """
    count = steps * args.batch
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % CLASSES
    data = ImageSet(images, labels, tuple(str(c) for c in range(CLASSES)))
    prepare = preparing(MEAN, STD)
    test = ImageSet(images[:1], labels[:1], data.class_names)
    settings = SETTINGS.changed({"backbone": f"resnet-{args.depth}", "epochs": 1, "batch": args.batch})
    task = Task(
        name="bytes",
        train=TensorImages(data, args.device, prepare, crop_and_flip),
        evaluations={"test": TensorImages(test, args.device, prepare)},
        counts=data.counts(),
        network=resnet(CLASSES),
        settings=settings,
    )

    def fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = resnet(CLASSES)(settings, False).to(args.device).train()
        return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    on_device, device_labels = images.to(args.device), labels.to(args.device)

    def bare() -> float:
        model, optimizer = fresh()
        source = torch.Generator(args.device).manual_seed(0)
        started = _now(args.device)
        for batch in torch.randperm(count).to(args.device).split(args.batch):
            x = prepare(crop_and_flip(on_device[batch], source))
            loss = F.cross_entropy(model(x), device_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()
        return _now(args.device) - started

    pictures = Pictures(images.permute(0, 2, 3, 1).numpy(), labels.tolist())

    def loader() -> float:
        model, optimizer = fresh()
        batches = DataLoader(
            pictures, args.batch, shuffle=True, num_workers=args.workers, pin_memory=args.device != "cpu"
        )
        started = _now(args.device)
        for x, y in batches:
            x = x.to(args.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(x), y.to(args.device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()
        return _now(args.device) - started

    def lab() -> float:
        return float(fit(CE.on(task), task, device=args.device).history[0]["seconds"])

    return {"bare loop": bare, "gradlens.longtail.training.fit": lab, "DataLoader, torchvision": loader}


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Times the three ways and writes the result."""
    args = parse_arguments()
    steps = args.steps or (200 if args.device != "cpu" else 20)
    ways = trainers(args, steps)
    for train in ways.values():
        train()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repetitions):
        for name, train in ways.items():
            seconds[name].append(train())
    rates = {name: steps * args.batch / statistics.median(times) for name, times in seconds.items()}
    print(f"{'':26}{'images/s':>10}{'of bare':>9}")
    for name, rate in rates.items():
        print(f"{name:26}{rate:10.0f}{rate / rates['bare loop']:9.3f}")
    result = {
        "command": ["python", "experiments/bench_training.py", *public_arguments(sys.argv[1:])],
        "model": f"ResNet-{args.depth}", "batch": args.batch, "steps": steps, "device": args.device,
        "images_per_second": rates,
        "relative_to_bare": {name: rate / rates["bare loop"] for name, rate in rates.items()},
        "seconds": seconds, "versions": versions(), "hardware": hardware(args.device),
    }  # fmt: skip
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
