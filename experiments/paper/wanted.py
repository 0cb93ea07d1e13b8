"""The trainings of Table 3 at the paper's length, the most wanted ones first, and how far each is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locks import is_locked

from gradlens.longtail.methods import METHODS
from gradlens.longtail.training.training_run import RESULT
from gradlens.runlog.format.description import replace_file

ORDER = (
    "dual-phase", "plain", "ce", "ldam-drw", "balanced-softmax", "bbn", "mixup", "focal", "cb-focal", "crt", "mislas",
)  # fmt: skip
IMBALANCES = (100, 50, 200)
SEEDS = (0, 1, 2)
# A method of one phase, and the longer one whose number of steps it gets in a row of its own.
TWINS = (("plain", "dual-phase"), ("ce", "crt"), ("mixup", "mislas"))
PROGRESS = "progress.json"
LOCK = "training.lock"


@dataclass(frozen=True)
class Wanted:
    """A training of the table.

    Attributes:
        method: Name of the method.
        imbalance: Largest over smallest class.
        seed: Seed of weights, order and augmentation.
        twin_of: Name of the method whose number of steps it trains for; "" = as long as the recipe says.
    """

    method: str
    imbalance: float
    seed: int
    twin_of: str = ""

    @property
    def row(self) -> str:
        """What the table calls its method."""
        return f"{self.method}, as many steps as {self.twin_of}" if self.twin_of else self.method

    @property
    def name(self) -> str:
        """Name of its folder."""
        twin = f"-steps-of-{self.twin_of}" if self.twin_of else ""
        return f"{self.method}{twin}-if{self.imbalance:g}-s{self.seed}"

    @property
    def other(self) -> Wanted:
        """The training that it is a twin of."""
        return Wanted(self.twin_of, self.imbalance, self.seed)


@dataclass(frozen=True)
class State:
    """How far a training is.

    Attributes:
        kind: "done", "running", "cut" (begun, and nothing trains it now), "waiting", or "no such method".
        progress: What its process noted after the last epoch; empty before.
    """

    kind: str
    progress: dict[str, Any]

    def __str__(self) -> str:
        if not self.progress or self.kind == "done":
            return self.kind
        epoch = f"epoch {self.progress['epoch']} of {self.progress['epochs']}"
        return epoch if self.kind == "running" else f"{epoch}, {self.kind}"


def wanted(methods: Sequence[str], imbalances: Sequence[float], seeds: Sequence[int]) -> list[Wanted]:
    """Returns the trainings in the order in which they are wanted.

    Args:
        methods: Names of methods. The twins of those that train longer follow them.
        imbalances: Imbalances of the data set.
        seeds: The first seed of all imbalances comes before the next seed.
    """
    twins = [(method, other) for method, other in TWINS if method in methods and other in methods]
    rows = [(method, "") for method in methods] + twins
    return [Wanted(method, imbalance, seed, of) for seed in seeds for imbalance in imbalances for method, of in rows]


def state(training: Wanted, runs: Path) -> State:
    """Returns how far a training is.

    Args:
        training: The training.
        runs: Folder of all trainings.
    """
    folder, noted = runs / training.name, progress(training, runs)
    if (folder / RESULT).is_file():
        return State("done", noted)
    if is_locked(folder / LOCK):
        return State("running", noted)
    if training.method not in METHODS:
        return State("no such method", noted)
    return State("cut" if noted else "waiting", noted)


def result(training: Wanted, runs: Path) -> dict[str, Any]:
    """Returns the result of a finished training; empty if it is not finished."""
    return _read(runs / training.name / RESULT)


def progress(training: Wanted, runs: Path) -> dict[str, Any]:
    """Returns what the process of a training noted after its last epoch; empty before."""
    return _read(runs / training.name / PROGRESS)


def note(training: Wanted, runs: Path, facts: dict[str, Any]) -> None:
    """Notes the progress of a training."""
    replace_file(runs / training.name / PROGRESS, (json.dumps(facts) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}
