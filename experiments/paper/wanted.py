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
        preset: Name of the preset of the method's own recipe; "" = the recipe of the data set.
    """

    method: str
    imbalance: float
    seed: int
    twin_of: str = ""
    preset: str = ""

    @property
    def row(self) -> str:
        """What the table calls its method."""
        if self.preset:
            return f"{self.method}, own recipe"
        return f"{self.method}, as many steps as {self.twin_of}" if self.twin_of else self.method

    @property
    def name(self) -> str:
        """Name of its folder."""
        twin = f"-steps-of-{self.twin_of}" if self.twin_of else ""
        own = f"-as-{self.preset}" if self.preset else ""
        return f"{self.method}{twin}{own}-if{self.imbalance:g}-s{self.seed}"

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


def wanted(
    methods: Sequence[str], imbalances: Sequence[float], seeds: Sequence[int], dataset: str = "cifar100-lt"
) -> list[Wanted]:
    """Returns the trainings in the order in which they are wanted.

    Args:
        methods: Names of methods. The twins of those that train longer follow them, and then those that have a recipe of their
            own, in that recipe.
        imbalances: Imbalances of the data set.
        seeds: The first seed of all imbalances comes before the next seed.
        dataset: The data set.
    """
    twins = [(method, other) for method, other in TWINS if method in methods and other in methods]
    rows = [(method, "") for method in methods] + twins
    found = []
    for seed in seeds:
        for imbalance in imbalances:
            own = [(method, preset) for method in methods if (preset := own_recipe(method, dataset, imbalance))]
            found += [Wanted(method, imbalance, seed, of) for method, of in rows]
            found += [Wanted(method, imbalance, seed, preset=preset) for method, preset in own]
    return found


def own_recipe(method: str, dataset: str, imbalance: float) -> str:
    """Returns the preset with which a method's reference trains; "" if there is none for the data set and the imbalance."""
    presets = METHODS[method].presets if method in METHODS else {}
    names = (f"{dataset}-if{imbalance:g}", dataset, f"{dataset}-bag-of-tricks")
    return next((name for name in names if name in presets), "")


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
