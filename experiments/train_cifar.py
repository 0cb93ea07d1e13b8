"""Trains ResNet-32 on long-tailed or balanced CIFAR-100 with the paper's recipe. It is a plain PyTorch script.

It has no code for gradient tracking. Its gradients are measured from outside:

    gradlens track --groups head=0-69,tail=70-99 experiments/train_cifar.py --data ./data --epochs 15

Recipe (Appendix A): batch 64, SGD with learning rate 0.1, momentum 0.9 and weight decay 5e-4, x0.01 at 80 % and 90 % of
the epochs, random crops and flips. Images stay in memory and are augmented batch by batch.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from gradlens.longtail.data.augment import crop_and_flip, normalise
from gradlens.longtail.data.cifar import MEAN, STD, load_cifar
from gradlens.longtail.data.counts import long_tailed_counts
from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from gradlens.longtail.training.accuracy import shot_accuracies


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", help="folder with CIFAR-100; default: $GRADLENS_DATA, then ./data")
    parser.add_argument(
        "--imbalance", type=float, default=100, help="largest over smallest class count; 1 = all of CIFAR-100"
    )
    parser.add_argument(
        "--balanced", action="store_true", help="train on a balanced set of as many images as --imbalance leaves"
    )
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--evaluate-every", type=int, default=1, help="epochs between evaluations; the last epoch always has one"
    )
    parser.add_argument("--max-steps", type=int, help="most steps of an epoch, for a quick try")
    parser.add_argument("--results", type=Path, help="JSON file for the accuracies of each epoch")
    return parser.parse_args()


def prepare(images: Tensor) -> Tensor:
    """Turns bytes into normalised network input."""
    return normalise(images, MEAN, STD).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def evaluate(model: nn.Module, test: ImageSet, train_counts: list[int]) -> dict[str, float]:
    """Returns test accuracy in percent for many, medium, few and all classes."""
    model.eval()
    predictions = torch.cat([model(prepare(images)).argmax(1) for images in test.images.split(500)])
    return shot_accuracies(predictions, test.labels, train_counts)


def main() -> None:
    """Trains and prints the accuracies."""
    args = parse_arguments()
    torch.manual_seed(args.seed)
    try:
        data = load_cifar(args.data)
        # The shots always come from the long-tailed counts, also for a balanced training set, so that both can be compared.
        counts = long_tailed_counts(100, 500, args.imbalance)
        train = data.balanced(int(counts.sum())) if args.balanced else data.long_tailed(args.imbalance)
        test = data.test.image_set().to(args.device)
    except LongTailError as error:
        raise SystemExit(f"train_cifar.py: {error}") from error
    dataset = TensorDataset(train.images.to(args.device), train.labels.to(args.device))
    # The sampler gives whole batches of indices. A batch is then read with one indexing operation instead of one per image.
    loader = DataLoader(
        dataset, sampler=BatchSampler(RandomSampler(dataset), args.batch, drop_last=False), batch_size=None
    )

    # On a CPU the channels-last layout makes a step of this network a quarter faster.
    model = ResNetCifar(32, num_classes=100).to(args.device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    milestones = [round(0.8 * args.epochs), round(0.9 * args.epochs)]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.01)
    augmentation = torch.Generator(args.device).manual_seed(args.seed)
    steps = len(loader)
    print(
        f"{len(train)} images (subset {train.digest}), {steps} steps an epoch, {args.epochs} epochs on {args.device}",
        flush=True,
    )

    history = []
    for epoch in range(args.epochs):
        started = time.perf_counter()
        model.train()
        total, seen = torch.zeros((), device=args.device), 0
        for step, (images, labels) in enumerate(loader):
            if step == args.max_steps:
                break
            images = prepare(crop_and_flip(images, augmentation))
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(labels)
            seen += len(labels)
        scheduler.step()
        trained = time.perf_counter() - started
        due = (epoch + 1) % args.evaluate_every == 0 or epoch + 1 == args.epochs
        accuracy = evaluate(model, test, counts.tolist()) if due else {}
        row = {"epoch": epoch + 1, "loss": total.item() / seen, "seconds": trained, **accuracy}
        history.append(row)
        shown = "  ".join(f"{name} {value:5.2f}" for name, value in accuracy.items())
        print(f"epoch {epoch + 1:3d}  loss {row['loss']:.3f}  {shown}  ({trained:.1f} s)", flush=True)
        if args.results is not None:
            args.results.write_text(
                json.dumps({"subset": train.digest, "images": len(train), "epochs": history}, indent=1) + "\n"
            )


if __name__ == "__main__":
    main()
