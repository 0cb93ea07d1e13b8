"""Measures what many groups cost: 10 groups and 100 (one for each class), with each engine, beside a plain step.

    python experiments/bench_groups.py

Each way takes steps in turns with a plain step, on one thread, and processor time counts, so a busy machine slows both alike.
The limit is a forward pass with a backward pass for each group in the batch: what a loop by hand takes that adds up nothing.
Memory is the peak of the second step, each way in a process of its own (see ``overhead/peaks.py``). ``first_ms`` is the first
step, which has the full check.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from environment import hardware, public_arguments, versions
from gpu.in_turns import in_turns, timed
from gpu.peers import BY_GROUP, func_by_sample
from gpu.training import CLASSES, Case, Step, Training, grouping, pictures
from overhead.cases import vision_transformer
from overhead.methods import Refusal
from overhead.peaks import peak_bytes

from gradlens import Lens
from gradlens.longtail.networks.resnet_cifar import ResNetCifar

ENGINES = ("masked", "split", "func")
PEERS = BY_GROUP | {"torch.func by sample": func_by_sample}
WAYS = ("plain", *ENGINES, *PEERS)
SPLIT_LIMIT = 1.5
CHECK = "gradlens.measure.pass_measuring.is_checked"


def cases(batch: int, depth: int) -> dict[str, Case]:
    """Returns name -> case."""
    return {
        "batchnorm": Case(lambda: ResNetCifar(depth, CLASSES), batch, pictures(32), "default"),
        "groupnorm": Case(lambda: ResNetCifar(depth, CLASSES, norm="group"), batch, pictures(32), "default"),
        "vit": Case(vision_transformer, batch, pictures(32), "default"),
    }


class LensStep:
    """A training step with a lens that measures it. Only the first step is checked against pull-backs by themselves.

    Otherwise the first measurements of ``split`` and ``func`` would hold mostly such checks, which a run has in every 50th.

    Attributes:
        lens: The lens.
    """

    def __init__(self, training: Training, groups: int, engine: str) -> None:
        """Makes the lens.

        Raises:
            Refusal: The engine cannot measure the model.
        """
        self._training, self._first = training, True
        chosen = grouping(groups, training.case.classes)
        self.lens = Lens(
            training.model, chosen, optimizer=training.optimizer, every=1, engine=engine, announce=lambda _: None
        )
        if engine != self.lens.engine_name:
            self.lens.close()
            raise Refusal(self.lens.engine_reason)

    def __call__(self) -> None:
        """Takes a step."""
        with nullcontext() if self._first else patch(CHECK, lambda *_, **__: False):
            self._training.measured(self.lens)
        self._first = False


def step_of(training: Training, groups: int, way: str) -> Step:
    """Returns a step of a way to measure.

    Raises:
        Refusal: It does not work for this model.
    """
    if way == "plain":
        return training.plain
    if way in ENGINES:
        return LensStep(training, groups, way)
    return PEERS[way](training, grouping(groups, training.case.classes))


@dataclass(frozen=True)
class GroupsJob:
    """The measurement of the memory of a way; see ``overhead.peaks.Job``.

    Attributes:
        case: Name of the case.
        way: Name of the way.
        groups: Number of groups.
        batch: Batch size B.
        depth: Layers of the ResNets.
        device: "cpu" or "cuda".
        threads: Threads of torch.
    """

    case: str
    way: str
    groups: int
    batch: int
    depth: int
    device: str
    threads: int = 1

    def step(self) -> Step:
        """Makes the model, and returns a step."""
        return step_of(Training(cases(self.batch, self.depth)[self.case], self.device), self.groups, self.way)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--cases", nargs="+", default=list(cases(1, 8)), choices=list(cases(1, 8)))
    parser.add_argument("--groups", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--ways", nargs="+", default=list(WAYS[1:]), choices=WAYS[1:], metavar="WAY")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--depth", type=int, default=32, help="layers of the ResNets")
    parser.add_argument("--fewest", type=int, default=3, help="timed steps of each way, at least")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timed steps for each way, about")
    parser.add_argument("--settling", type=int, default=2, help="steps of each way before the timed ones")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_groups.json")
    return parser.parse_args(arguments)


def passes(training: Training, repetitions: int) -> dict[str, float]:
    """Returns the milliseconds of a plain step, of a forward pass, and of a backward pass."""

    def typical(work: Callable[[], object]) -> float:
        return median(timed(work, training.device) for _ in range(repetitions))

    training.plain()
    plain = typical(training.plain)
    loss, params = training.loss(), list(training.model.parameters())
    backward = typical(lambda: torch.autograd.grad(loss, params, retain_graph=True))
    return {"plain_ms": plain, "forward_ms": typical(training.loss), "backward_ms": backward}


def measure(case_name: str, groups: int, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Returns the results of all ways for a case and a number of groups."""
    case = cases(args.batch, args.depth)[case_name]
    base = Training(case, args.device)
    table = torch.from_numpy(grouping(groups, CLASSES).of_class())[base.labels.cpu()]
    present = len(table.unique())
    times = passes(base, 5)
    limit = (times["forward_ms"] + present * times["backward_ms"]) / times["plain_ms"]

    def peak(way: str) -> int | None:
        found = peak_bytes(GroupsJob(case_name, way, groups, args.batch, args.depth, args.device))
        return None if isinstance(found, str) else found[1]

    plain_peak = peak("plain")
    rows: dict[str, Any] = {}
    for way in args.ways:
        say(f"{case_name}, {groups} groups: {way}")
        try:
            step = step_of(Training(case, args.device), groups, way)
            found = in_turns(step, base.plain, args.device, args.seconds, args.settling, fewest=args.fewest)
        except (Refusal, RuntimeError, ValueError) as error:  # these are raised for models that do not fit
            rows[way] = {"refused": f"{error}"[:240]}
            continue
        if isinstance(step, LensStep):
            found |= {"engine": step.lens.engine_name}
            step.lens.close()
        if (bytes_ := peak(way)) is not None and plain_peak is not None:
            found |= {"peak_bytes": bytes_, "peak_ratio": bytes_ / plain_peak}
        rows[way] = found | {"of_limit": found["ratio"] / limit}
    with Lens(base.model, grouping(groups, CLASSES), optimizer=base.optimizer) as lens:
        facts = {"case": case_name, "groups": groups, "present": present, "auto": lens.engine_name, **times}
    return facts | {"limit_ratio": limit, "plain_peak_bytes": plain_peak, "ways": rows}


def targets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the targets: name, value, limit, and whether the value is within the limit."""
    rows: list[tuple[str, float, float]] = []
    for found in results:
        name = f"{found['case']}, {found['groups']} groups"
        ways = {way: row for way, row in found["ways"].items() if "ratio" in row}
        if "split" in ways:
            rows.append((f"{name}: split over plain", ways["split"]["ratio"], SPLIT_LIMIT))
        rows += [(f"{name}: {w} over the limit", ways[w]["of_limit"], 1.0) for w in ("masked", "func") if w in ways]
        engines = {way: ways[way]["ratio"] for way in ENGINES if way in ways}
        if found["auto"] in engines:
            chosen = engines[found["auto"]]
            rows.append((f"{name}: the engine of auto over the fastest", chosen / min(engines.values()), 1.05))
    return [{"name": n, "value": value, "limit": limit, "met": value <= limit} for n, value, limit in rows]


def show(found: dict[str, Any]) -> None:
    """Prints the results of a case."""
    print(f"{found['case']}, {found['groups']} groups, {found['present']} of them in the batch")
    print(
        f"  plain step {found['plain_ms']:.0f} ms, limit {found['limit_ratio']:.2f} plain steps, auto: {found['auto']}"
    )
    for way, row in found["ways"].items():
        if "refused" in row:
            print(f"  {way:22} {row['refused']}")
            continue
        memory = f", memory {row['peak_ratio']:.2f}" if "peak_ratio" in row else ""
        print(f"  {way:22} {row['ratio']:.2f}, of the limit {row['of_limit']:.2f}{memory}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Measures all and writes the JSON after each case."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results = []
    for case in args.cases:
        for groups in args.groups:
            found = measure(case, groups, args, lambda text: print(text, file=sys.stderr, flush=True))
            results.append(found)
            show(found)
            result = {
                "command": ["python", "experiments/bench_groups.py", *public_arguments(given)],
                "batch": args.batch,
                "depth": args.depth,
                "versions": versions(),
                "hardware": hardware(args.device),
                "results": results,
                "targets": targets(results),
            }
            args.results.parent.mkdir(parents=True, exist_ok=True)
            args.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
