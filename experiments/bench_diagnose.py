"""Asks ``gradlens diagnose`` about 62 trainings whose truth is known: does it find what is wrong, and nothing else?

    python experiments/bench_diagnose.py

36 trainings are simulated (``diagnosed/simulated.py``), 26 are small real ones (``diagnosed/trained.py``). Each says which
findings must be there, and which may be there since they are true; all others are false statements. ``balance: fine`` stands for
the sentence that no group is left out, ``benefit: fine`` for the one that steps help all groups.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from diagnosed.simulated import Training, simulate
from diagnosed.trained import Small, train
from environment import hardware, public_arguments, versions

from gradlens.diagnosis.diagnose import diagnose
from gradlens.diagnosis.finding import Finding, Severity
from gradlens.runlog import Run

RESULTS = Path(__file__).resolve().parent / "results" / "diagnose"
BALANCED, HELPS = "balance: fine", "benefit: fine"
UNDECIDED = "noise"  # says that an answer is hidden, and so nothing about the training
LONG = (500,) * 5 + (20,) * 5


@dataclass(frozen=True)
class Case:
    """A training with its truth.

    Attributes:
        name: Its name.
        kind: "simulated" or "real".
        make: Makes its run in a folder, with a seed.
        wrong: Findings that must be there. () for a training in which nothing is wrong.
        true: Further findings that are true.
    """

    name: str
    kind: str
    make: Callable[[Path, int], Run]
    wrong: tuple[str, ...] = ()
    true: tuple[str, ...] = (BALANCED, HELPS)


def simulated(name: str, *wrong: str, true: tuple[str, ...] = (BALANCED, HELPS), **changes: Any) -> Case:
    """Returns a simulated training."""
    training = Training().but(**changes)
    return Case(name, "simulated", lambda path, seed: simulate(path, training, seed), wrong, true)


def real(name: str, *wrong: str, true: tuple[str, ...] = (BALANCED, HELPS), **changes: Any) -> Case:
    """Returns a real training. Its groups compete for the same outputs, so that they may pull against each other is true."""
    small = Small().but(**changes)
    return Case(name, "real", lambda path, seed: train(path, small, seed), wrong, (*true, "conflict"))


def stuck_tail(at: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns losses of which the second hardly falls."""
    return np.array([2.3 * math.exp(-4 * at) + 0.05, 2.3 * math.exp(-0.3 * at)])


def momentum(params: Any) -> torch.optim.Optimizer:
    """Returns gradient descent with momentum."""
    return torch.optim.SGD(params, 0.02, momentum=0.9, weight_decay=5e-4)


def adam(params: Any) -> torch.optim.Optimizer:
    """Returns Adam."""
    return torch.optim.Adam(params, 3e-3)


def climbing(params: Any) -> torch.optim.Optimizer:
    """Returns an optimizer that climbs."""
    return torch.optim.SGD(params, 0.001, maximize=True)


def exploding(params: Any) -> torch.optim.Optimizer:
    """Returns an optimizer that climbs fast, so that the loss grows."""
    return torch.optim.SGD(params, 0.02, maximize=True)


def cases() -> list[Case]:
    """Returns the 62 trainings."""
    even = {"pulls": ((1.0, 0.0), (0.0, 1.0)), "noise": 0.3}
    against = {"pulls": ((1.0, 0.0), (-0.8, 0.5))}
    found = [
        # Nothing is wrong.
        *(simulated(f"balanced {i}") for i in (1, 2, 3, 4)),
        simulated("balanced, orthogonal groups", **even),
        simulated("balanced, noisy", noise=8.0),
        simulated("balanced, momentum", momentum=0.9, **even),
        simulated("balanced, warm-up from 0", rate=lambda at: 0.01 * min(1.0, 50 * at)),
        simulated("balanced, two processes", processes=2),
        simulated("balanced, long", steps=1500),
        simulated("balanced, loss falls little", loss=lambda at: np.full(2, 1.2 - 0.3 * at)),
        simulated("balanced, the update is not recorded", update=False, true=(BALANCED,)),
        # Something is wrong.
        *(
            simulated(f"long-tailed, the tail {tail:.0%} of the samples", "balance", true=(HELPS,), data=data, drawn=drawn)
            for tail, data, drawn in (
                (0.04, LONG, lambda _: (2500 / 2600, 100 / 2600)),
                (0.09, (500,) * 5 + (50,) * 5, lambda _: (2500 / 2750, 250 / 2750)),
                (0.02, (500,) * 5 + (10,) * 5, lambda _: (2500 / 2550, 50 / 2550)),
            )
        ),
        simulated("a sampler evens out a long tail", "drawn shares", data=LONG),
        simulated("groups pull against each other", "conflict", **against),
        simulated("the same in the second half", "conflict", conflict_since=0.5, true=(BALANCED, HELPS, "noise")),
        simulated(
            "the head's steps hurt the tail", "benefit", "balance", "conflict", drawn=lambda _: (0.9, 0.1),
            data=(900,) * 5 + (100,) * 5, **against,
        ),
        simulated("scaling favours the tail", "optimizer", scaling=(0.5, 4.0), **even),
        simulated("scaling favours the head", "optimizer", scaling=(4.0, 0.5), **even),
        simulated("one step in ten is not finite", "not finite", broken=tuple(range(5, 400, 10))),
        simulated("not finite at the end", "not finite", broken=tuple(range(350, 400))),
        simulated("the loss explodes", "growing loss", loss=lambda at: np.full(2, 2.3 * math.exp(4 * at))),
        simulated("the loss doubles and more", "growing loss", loss=lambda at: np.full(2, 0.5 + 2.5 * at)),
        simulated("the learning rate is 0", "no step", rate=lambda _: 0.0, true=(BALANCED,)),
        simulated("the learning rate is 0 in the second half", "no step", rate=lambda at: 0.01 * (at < 0.5), true=(BALANCED,)),
        simulated("the sign is wrong", "uphill", rate=lambda _: -0.01, true=(BALANCED,)),
        simulated("the tail is never drawn", "no data", drawn=lambda _: (1.0, 0.0), true=()),
        simulated("a class has no image", "no data", data=(500,) * 9 + (0,), drawn=lambda _: (5 / 9, 4 / 9)),
        simulated("the tail's labels are wrong", "wrong labels", loss=stuck_tail),
        simulated("the loss stays that of guessing", "nothing learnt", loss=lambda _: np.full(2, 2.31)),
        simulated("not shuffled", "not shuffled", clustered=10),
        simulated("two processes, the same samples", "same samples", processes=2, same_samples=True),
        simulated("four processes, a fourth of the loss", "part of the loss", processes=4, loss_part=0.25),
        simulated("30 steps", "noise", steps=30, true=()),
        # Real ones.
        *(real(f"balanced, SGD {i}") for i in (1, 2, 3)),
        # Easy classes: once the head is learnt, the few samples of the tail make up much of what is left of the gradient.
        real("long-tailed, easy classes", true=(BALANCED, HELPS, "optimizer"), images=(200, 4)),
        *(real(f"balanced, momentum {i}", true=(BALANCED, HELPS, "optimizer"), optimizer=momentum) for i in (1, 2)),
        *(real(f"balanced, Adam {i}", true=(BALANCED, HELPS, "optimizer"), optimizer=adam) for i in (1, 2)),
        *(
            real(
                f"long-tailed, {few} images of a tail class, {i}", "balance", true=(HELPS, "benefit"), images=(200, few),
                spread=2.5,
            )
            for few in (2, 4) for i in (1, 2)
        ),
        *(real(f"long-tailed, drawn evenly {i}", "drawn shares", images=(200, 10), even=True) for i in (1, 2)),
        *(
            real(
                f"dual-phase {i}", "drawn shares", images=(200, 10), first_phase=160,
                true=(BALANCED, HELPS),
            ) for i in (1, 2)
        ),
        *(
            real(
                f"{part:.0%} of the tail's labels are wrong", "wrong labels", true=(BALANCED, HELPS, "balance"), wrong=part,
                spread=0.5,
            )
            for part in (0.6, 1.0)
        ),
        *(real(f"labels are shuffled {i}", "nothing learnt", true=(BALANCED, HELPS), shuffled_labels=True) for i in (1, 2)),
        real("the tail is never drawn", "no data", true=(), without_tail=True),
        real(
            "data in the order of their classes", "not shuffled", true=(BALANCED, HELPS, "balance", "benefit", "noise"),
            sorted=True,
        ),
        real("the learning rate falls to 0", "no step", true=(BALANCED,), stops=150),
        real("maximize=True", "uphill", true=(BALANCED, "growing loss", "noise"), optimizer=climbing),
    ]  # fmt: skip
    found.append(
        real(
            "the loss explodes",
            "growing loss",
            true=(BALANCED, "balance", "uphill", "noise", "not finite", "not shuffled"),
            optimizer=exploding,
        )
    )
    found.append(real("40 steps", "noise", true=(), steps=40))
    return found


def name_of(finding: Finding) -> str:
    """Returns the name of a finding as cases call it."""
    return f"{finding.rule}: fine" if finding.severity is Severity.FINE else finding.rule


def judged(case: Case, seed: int) -> dict[str, Any]:
    """Makes a training and judges what is said about it."""
    with tempfile.TemporaryDirectory() as folder:
        run = case.make(Path(folder) / "run", seed)
        begun = time.perf_counter()
        findings = diagnose(run)
        seconds = time.perf_counter() - begun
    said = [name_of(finding) for finding in findings]
    return {
        "training": case.name,
        "kind": case.kind,
        "wrong": list(case.wrong),
        "said": said,
        "missed": [rule for rule in case.wrong if rule not in said],
        "false": [rule for rule in said if rule not in (*case.wrong, *case.true, UNDECIDED)],
        "seconds": round(seconds, 3),
        "sentences": [finding.sentence for finding in findings],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the results as a table."""
    fine, bad = ([row for row in rows if bool(row["wrong"]) is wrong] for wrong in (False, True))
    expected = sum(len(row["wrong"]) for row in bad)
    missed = sum(len(row["missed"]) for row in bad)
    lines = [
        "# What `gradlens diagnose` says about trainings whose truth is known",
        "",
        f"{len(rows)} trainings. In the {len(fine)} in which nothing is wrong, {sum(len(r['false']) for r in fine)} false "
        f"statements; in the {len(bad)} others {sum(len(r['false']) for r in bad)} false statements, and {expected - missed} of "
        f"{expected} findings.",
        "",
        "| training | kind | what is wrong | what is said | missed | false |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            row["training"],
            row["kind"],
            *(", ".join(row[key]) or "-" for key in ("wrong", "said", "missed", "false")),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Runs all trainings and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--only", nargs="*", help="make only trainings anew whose name holds one of these; others stay as they are"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = arguments.results / "table.json"
    earlier = json.loads(kept.read_text("utf-8"))["trainings"] if arguments.only and kept.exists() else []
    rows = []
    for seed, case in enumerate(cases()):
        if not arguments.only or any(part in case.name for part in arguments.only):
            rows.append(judged(case, seed))
            print(
                f"{case.name}: {', '.join(rows[-1]['said'])}",
                *(f"  {k}: {rows[-1][k]}" for k in ("missed", "false") if rows[-1][k]),
                flush=True,
            )
        else:
            rows += [row for row in earlier if (row["training"], row["kind"]) == (case.name, case.kind)]
    arguments.results.mkdir(parents=True, exist_ok=True)
    facts = {"command": public_arguments(sys.argv), **versions(), **hardware("cpu"), "trainings": rows}
    (arguments.results / "table.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    (arguments.results / "table.md").write_text(table(rows), "utf-8")


if __name__ == "__main__":
    main()
