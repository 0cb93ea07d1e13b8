"""Measures the cost of a measured step on the GPU, beside a plain step and a loop by hand with a backward pass per group.

Times are medians of CUDA events over steps taken in turns. Memory is the peak of the first steps above the memory in use before.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from gpu.networks import Transformer
from gpu.precision import autocast
from gpu.record import Record, parser, synchronize
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.longtail.networks.resnet_cifar import ResNetCifar

CLASSES = 100
GROUPINGS = (2, 10, 100)
VOCABULARY = 50_000
# Measured steps before the timed ones. The engines check themselves at the 1st, 2nd, 3rd, 5th and 9th.
SETTLING = 3
Step = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """A network and how it is trained.

    Attributes:
        build: Makes the network.
        batch: Batch size B.
        inputs: Makes [B, ...] inputs.
        precision: Precision of the step.
        per_token: True if each token has a label.
    """

    build: Callable[[], nn.Module]
    batch: int
    inputs: Callable[[int], Tensor]
    precision: str
    per_token: bool = False


def torchvision_model(name: str) -> Callable[[], nn.Module]:
    """Returns a function that makes a model of torchvision."""

    def make() -> nn.Module:
        from torchvision import models

        return getattr(models, name)(num_classes=CLASSES)

    return make


def pictures(size: int) -> Callable[[int], Tensor]:
    """Returns a function that makes [B, 3, size, size] random images for a batch size B."""
    return lambda batch: torch.randn(batch, 3, size, size)


CASES = {
    "resnet32": Case(lambda: ResNetCifar(32, CLASSES), 128, pictures(32), "default"),
    "resnet32-groupnorm": Case(lambda: ResNetCifar(32, CLASSES, norm="group"), 128, pictures(32), "default"),
    "resnet50": Case(torchvision_model("resnet50"), 128, pictures(224), "bfloat16"),
    "vit-b-16": Case(torchvision_model("vit_b_16"), 64, pictures(224), "bfloat16"),
    "gpt": Case(
        lambda: Transformer(VOCABULARY, VOCABULARY, 256, 512, 8, 8, language=True),
        16,
        lambda batch: torch.randint(VOCABULARY, (batch, 256)),
        "bfloat16",
        per_token=True,
    ),
}


def grouping(groups: int, classes: int) -> ClassGroups:
    """Returns ``groups`` groups of neighbouring classes. The first group has the most frequent classes."""
    edges = [round(classes * k / groups) for k in range(groups + 1)]
    return ClassGroups({f"g{k}": range(edges[k], edges[k + 1]) for k in range(groups)}, classes)


class Training:
    """A model, an optimizer and one batch, and ways to take a training step."""

    def __init__(self, case: Case, device: str) -> None:
        torch.manual_seed(0)
        self.case, self.device = case, device
        self.model = case.build().to(device).train()
        if not case.per_token:
            self.model.to(memory_format=torch.channels_last)
        self.inputs = case.inputs(case.batch).to(device)
        # The labels are long-tailed: each class is rarer than the one before.
        self.classes = VOCABULARY if case.per_token else CLASSES
        weights = torch.logspace(0, -2, self.classes)
        count = self.inputs.numel() if case.per_token else case.batch
        drawn = torch.multinomial(weights, count, replacement=True)
        self.labels = (drawn.view_as(self.inputs) if case.per_token else drawn).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-5, momentum=0.9)

    def loss(self) -> Tensor:
        """Runs the forward pass and returns the loss, a scalar."""
        with autocast(self.case.precision, self.device):
            output = self.model(self.inputs)
            return F.cross_entropy(output.flatten(0, -2), self.labels.flatten())

    def plain(self) -> None:
        """Takes a training step without measuring."""
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()

    def by_hand(self, groups: ClassGroups) -> Step:
        """Returns a step by hand: one forward pass, and a backward pass for each group in the batch.

        The gradients of the groups add up to that of training.
        """
        table = torch.from_numpy(groups.of_class()).to(self.device)[self.labels.flatten()]
        present = table.unique().tolist()
        masks = [(table == k) / table.numel() for k in present]
        params = list(self.model.parameters())

        def step() -> None:
            self.optimizer.zero_grad()
            with autocast(self.case.precision, self.device):
                output = self.model(self.inputs)
                rows = F.cross_entropy(output.flatten(0, -2), self.labels.flatten(), reduction="none")
            for number, mask in enumerate(masks):
                last = number + 1 == len(masks)
                found = torch.autograd.grad((rows * mask).sum(), params, retain_graph=not last)
                for param, gradient in zip(params, found, strict=True):
                    param.grad = gradient if param.grad is None else param.grad + gradient
            self.optimizer.step()

        return step

    def measured(self, lens: Lens) -> None:
        """Takes a training step with a lens."""
        self.optimizer.zero_grad()
        lens.backward(self.loss(), self.labels)
        self.optimizer.step()


def timed(step: Step, device: str) -> float:
    """Returns the milliseconds of a step: between CUDA events on a GPU, on the clock on a CPU."""
    if not device.startswith("cuda"):
        begun = time.perf_counter()
        step()
        return 1000 * (time.perf_counter() - begun)
    begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begun.record()
    step()
    ended.record()
    torch.cuda.synchronize()
    return float(begun.elapsed_time(ended))


def in_turns(step: Step, plain: Step, device: str, seconds: float, settling: int) -> dict[str, Any]:
    """Times a step and a plain step in turns, after the first steps.

    Args:
        step: The step.
        plain: The plain step.
        device: "cuda" or "cpu".
        seconds: About how long to take steps; at least three are taken of each.
        settling: Number of first steps, which are not timed with the others.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if device.startswith("cuda") else 0
    first = [timed(step, device) for _ in range(settling)]
    peak = torch.cuda.max_memory_allocated() - before if device.startswith("cuda") else None
    own, bare = [], []
    until = time.perf_counter() + seconds
    while len(own) < 3 or (time.perf_counter() < until and len(own) < 60):
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


def lens_row(training: Training, groups: ClassGroups, engine: str, seconds: float) -> dict[str, Any]:
    """Times steps with a lens that measures each of them."""
    said: list[str] = []
    with Lens(
        training.model, groups, optimizer=training.optimizer, every=1, engine=engine, announce=said.append
    ) as lens:
        if lens.engine_name != engine:
            return {"refused": lens.engine_reason[:200]}
        other = Training(training.case, training.device)
        found = in_turns(lambda: training.measured(lens), other.plain, training.device, seconds, SETTLING)
        kept = lens.engine_name == engine
        return found | ({} if kept else {"gave_way": lens.engine_reason[:300]}) | {"said": said[:3]}


def budget_row(case: Case, device: str, steps: int) -> dict[str, Any]:
    """Compares the time of a training with a budget of 5 % with that of plain trainings before and after it."""

    def wall(step: Step, count: int) -> float:
        synchronize(device)
        begun = time.perf_counter()
        for _ in range(count):
            step()
        synchronize(device)
        return time.perf_counter() - begun

    bare, training = Training(case, device), Training(case, device)
    wall(bare.plain, max(3, steps // 10))
    before = wall(bare.plain, steps // 2)
    groups = grouping(2, training.classes)
    count = 0
    with Lens(training.model, groups, optimizer=training.optimizer, budget=0.05, announce=lambda _: None) as lens:

        def step() -> None:
            nonlocal count
            count += lens.armed
            training.measured(lens)

        under = wall(step, steps)
        engine, said = lens.engine_name, lens.overhead
    after = wall(bare.plain, steps - steps // 2)
    return {
        "engine": engine,
        "steps": steps,
        "measured": count,
        "ratio": under / (before + after),
        "overhead_said": said,
        "plain_ms": 1000 * (before + after) / steps,
    }


def unmeasured_row(case: Case, device: str, seconds: float) -> dict[str, Any]:
    """Times steps that a lens does not measure."""
    training, other = Training(case, device), Training(case, device)
    groups = grouping(2, training.classes)
    with Lens(training.model, groups, optimizer=training.optimizer, every=10**9, announce=lambda _: None) as lens:
        training.measured(lens)
        return in_turns(lambda: training.measured(lens), other.plain, device, seconds, 2)


def main() -> None:
    """Times one network."""
    arguments = parser(__doc__)
    arguments.add_argument("--network", default="resnet32", choices=list(CASES))
    arguments.add_argument("--seconds", type=float, default=1.0, help="of timed steps for each row")
    args = arguments.parse_args()
    warnings.simplefilter("ignore")
    record = Record(args.out)
    case = CASES[args.network]
    if args.small:
        case = Case(case.build, 8, case.inputs, case.precision, case.per_token)
    base = Training(case, args.device)
    record.add(network=args.network, what="plain", **in_turns(base.plain, base.plain, args.device, args.seconds, 3))
    record.attempt(
        {"network": args.network, "what": "unmeasured"}, lambda: unmeasured_row(case, args.device, args.seconds)
    )
    steps = 10 if args.small else 300 if args.network.startswith("resnet32") else 60
    record.attempt({"network": args.network, "what": "budget"}, lambda: budget_row(case, args.device, steps))
    for number in GROUPINGS:
        groups = grouping(number, base.classes)
        table = torch.from_numpy(groups.of_class())[base.labels.flatten().cpu()]
        facts = {"network": args.network, "groups": number, "present": len(table.unique())}
        record.attempt(
            facts | {"what": "by hand"},
            lambda g=groups: in_turns(Training(case, args.device).by_hand(g), base.plain, args.device, args.seconds, 1),
        )
        for engine in ("masked", "split", "func"):
            record.attempt(
                facts | {"what": engine},
                lambda g=groups, e=engine: lens_row(Training(case, args.device), g, e, args.seconds),
            )
            if args.device.startswith("cuda"):
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
