"""``Recipe``: a method for one task, ready to run: its phases, its network and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradlens.longtail.data.labelled_images import STANDARD
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.settings import Settings

# Settings that came after the first checkpoints, each with the value of trainings before it. A training with this value goes on
# from such a checkpoint, so its identity must not hold the setting.
LATER: Mapping[str, Any] = {
    "augmentation": STANDARD,
    "bias_decay": None,
    "stage_2_from": "last",
    "nesterov": False,
    "trained_parts": "",
    "moving_parts": "",
    "trained_parts_2": "",
    "warm_up_from": None,
    "shared_learning_rate": None,
}


def without_later(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an identity without the settings in ``LATER`` that have their value there."""
    return {name: value for name, value in identity.items() if name not in LATER or LATER[name] != value}


@dataclass(frozen=True)
class Recipe:
    """A method for one task. `fit` runs it.

    Attributes:
        method: Name of the method, e.g. "dual-phase".
        phases: One or more phases, in order.
        network: Makes a newly initialised network.
        settings: All hyper-parameters with their sources.
        approximate: Why the method cannot follow its reference exactly; "" if it does.
        preset: Name of the method's preset that the settings began with; "" = those of the data set.
    """

    method: str
    phases: tuple[TrainingPhase, ...]
    network: Callable[[], Network]
    settings: Settings
    approximate: str = ""
    preset: str = ""

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the loss components of all phases, in the order of their first appearance."""
        return tuple(dict.fromkeys(name for phase in self.phases for name in phase.losses))

    def identity(self) -> dict[str, Any]:
        """Returns what a checkpoint must have in common with this recipe: method, phases, their training, all settings."""
        phases = " ".join(f"{phase.name}:{phase.epochs}" for phase in self.phases)
        values = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in without_later(self.settings).items()
        }
        # The keys hold the number of the phase, since two phases may have the same name.
        trained = {
            f"{part} of phase {number} ({phase.name})": value
            for number, phase in enumerate(self.phases, 1)
            for part, value in phase.identity().items()
        }
        return {"method": self.method, "phases": phases, **values, **trained}
