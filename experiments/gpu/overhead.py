"""Measures the cost of a measured step on the GPU, beside a plain step and beside other ways to get the groups' gradients.

Times are medians of CUDA events over steps taken in turns. Memory is the peak of the first steps above the memory in use before.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch
from gpu.in_turns import in_turns
from gpu.peers import BY_GROUP, PEERS, Peer
from gpu.record import Record, empty_cache, parser, synchronize
from gpu.training import CASES, SMALL, Case, Step, Training, grouping
from overhead.methods import Refusal

from gradlens import ClassGroups, Lens

GROUPINGS = (2, 10, 100)
# Measured steps before the timed ones. The engines check themselves at the 1st, 2nd, 3rd, 5th and 9th.
SETTLING = 3


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
    groups = grouping(2, case.classes)
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
    groups = grouping(2, case.classes)
    with Lens(training.model, groups, optimizer=training.optimizer, every=10**9, announce=lambda _: None) as lens:
        training.measured(lens)
        return in_turns(lambda: training.measured(lens), other.plain, device, seconds, 2)


def peer_row(peer: Peer, base: Training, groups: ClassGroups, seconds: float) -> dict[str, Any]:
    """Times steps of another way to get the groups' gradients; its first step is not timed with the others."""
    try:
        step = peer(Training(base.case, base.device), groups)
        return in_turns(step, base.plain, base.device, seconds, 1)
    except torch.OutOfMemoryError:
        raise
    except (Refusal, RuntimeError, ValueError) as error:  # these are raised for models that do not fit
        return {"refused": f"{error}"[:200]}


def main() -> None:
    """Times one network."""
    arguments = parser(__doc__)
    arguments.add_argument("--network", default="resnet32", choices=list(CASES))
    arguments.add_argument("--seconds", type=float, default=1.0, help="of timed steps for each row")
    args = arguments.parse_args()
    warnings.simplefilter("ignore")
    record = Record(args.out)
    case = (SMALL if args.small else CASES)[args.network]
    seconds = 0.0 if args.small else args.seconds
    base = Training(case, args.device)
    record.add(network=args.network, what="plain", **in_turns(base.plain, base.plain, args.device, seconds, 3))
    record.attempt({"network": args.network, "what": "unmeasured"}, lambda: unmeasured_row(case, args.device, seconds))
    steps = 10 if args.small else 300 if args.network.startswith("resnet32") else 60
    record.attempt({"network": args.network, "what": "budget"}, lambda: budget_row(case, args.device, steps))
    for number in GROUPINGS:
        groups = grouping(number, case.classes)
        table = torch.from_numpy(groups.of_class())[base.labels.flatten().cpu()]
        facts = {"network": args.network, "groups": number, "present": len(table.unique())}
        for engine in ("masked", "split", "func"):
            record.attempt(
                facts | {"what": engine},
                lambda g=groups, e=engine: lens_row(Training(case, args.device), g, e, seconds),
            )
            empty_cache(args.device)
        # Other packages give the gradients of single samples, which cost the same for any number of groups.
        for name, peer in PEERS.items() if number == GROUPINGS[0] else BY_GROUP.items():
            record.attempt(facts | {"what": name}, lambda g=groups, p=peer: peer_row(p, base, g, seconds))
            empty_cache(args.device)


if __name__ == "__main__":
    main()
