"""Measures how fast the lab trains, beside a bare loop by hand and beside a DataLoader with torchvision transforms.

    python experiments/bench_training.py --device cuda

All three train the same ResNet-32 on the same random bytes of CIFAR's shape, with the same batch, optimizer, crops and flips.
They are timed in turns, several times, and the medians are compared. The content of the images does not matter, so no data set
is needed. The script writes a JSON file with versions and hardware.

    git worktree add ../before 4acb67b
    python experiments/bench_training.py --base ../before

compares the steps of this build, in several precisions and memory formats, with those of an earlier build on the CPU. They are
timed in turns, as CPU time of a single thread, which does not depend on what else the machine does (or on the clock, with
`--threads`). A profile says where the time of a step goes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
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
from training import builds, convolutions

from gradlens.runlog.format.description import git_commit

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
    parser.add_argument("--base", type=Path, help="checkout of an earlier build to compare with, on the CPU")
    parser.add_argument("--threads", type=int, default=1, help="threads of that comparison")
    parser.add_argument("--results", type=Path, help="file for the results")
    args = parser.parse_args(arguments)
    name = "bench_training" if args.base is None else "bench_training_builds"
    args.results = args.results or Path(__file__).parent / "results" / f"{name}.json"
    return args


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


def compare_builds(args: argparse.Namespace) -> dict[str, Any]:
    """Times this build and an earlier one, prints a table, and returns what is written."""
    base: Path = args.base.resolve()
    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as place:
        images = Path(place) / "images.npz"
        builds.write_images(images, (args.steps or 6) * args.batch)
        common = {"batch": args.batch, "backbone": f"resnet-{args.depth}"}
        ways = builds.trainings(base, here, images, args.threads, common)
        seconds = builds.timed(ways, args.repetitions)
        profile = builds.profiles(ways)
        for training in ways.values():
            training.close()
    rows = builds.summary(seconds)
    print(f"{'':20}{'ms a step':>10}{'of before':>11}  quartiles")
    for name, row in rows.items():
        low, high = row["ratio_quartiles"]
        print(f"{name:20}{row['ms']:10.1f}{row['ratio']:11.3f}  {low:.3f} to {high:.3f}")
    for name, parts in profile.items():
        print(f"{name}: " + ", ".join(f"{part} {share:.1%}" for part, share in parts.items() if share >= 0.001))
    clock = "CPU time of the thread" if args.threads == 1 else "time on the clock"
    facts = {
        "base": git_commit(base),
        "clock": clock,
        "load_average": os.getloadavg()[0],
        "ways": builds.WAYS,
    }
    processor = {"amx": torch.cpu._is_amx_tile_supported(), "avx512_bf16": torch.cpu._is_avx512_bf16_supported()}
    found = convolutions.speeds(args.batch)
    for row in found:
        print(f"{row['what']:32}{row['precision']:9}{row['ms']:8.2f} ms{row['gflops']:8.0f} GFLOP/s")
    facts |= {"processor": processor, "summary": rows, "profile": profile, "convolutions": found}
    return facts | {"seconds": seconds}


def main() -> None:
    """Times the three ways, or two builds, and writes the result."""
    args = parse_arguments()
    if args.base is not None:
        write(args, compare_builds(args))
        return
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
        "steps": steps,
        "device": args.device,
        "images_per_second": rates,
        "relative_to_bare": {name: rate / rates["bare loop"] for name, rate in rates.items()},
        "seconds": seconds,
    }
    write(args, result)


def write(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Writes a result with the command, versions and hardware."""
    facts = {
        "command": ["python", "experiments/bench_training.py", *public_arguments(sys.argv[1:])],
        "model": f"ResNet-{args.depth}",
        "batch": args.batch,
        "versions": versions(),
        "hardware": hardware("cpu" if args.base else args.device),
    }
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(facts | result, indent=1) + "\n")


if __name__ == "__main__":
    main()
