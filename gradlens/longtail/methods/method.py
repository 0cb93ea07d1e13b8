"""``Method``: a method of long-tailed recognition, with its own settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gradlens.longtail.data.labelled_images import STANDARD, check_augmentation
from gradlens.longtail.errors import LongTailError, did_you_mean
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.without_effect import check_effects

GIVEN = "command line"


@dataclass(frozen=True)
class Method:
    """A method of long-tailed recognition.

    Attributes:
        name: Its name on the command line.
        summary: One line that describes it.
        settings: Its own hyper-parameters with their sources. They replace those of the data set.
        recipe: Maps a task and all settings to the recipe that `fit` runs.
        approximate: Why it cannot follow its reference exactly; "" if it does. Help texts and run.json say it.
        presets: Name -> the settings with which its reference trains on a data set, with their sources, such as
            "cifar100-lt-if100". They replace those of the data set and the method.
    """

    name: str
    summary: str
    settings: Mapping[str, Setting]
    recipe: Callable[[Task, Settings], Recipe]
    approximate: str = ""
    presets: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)

    @property
    def described(self) -> str:
        """The summary, and why the method is approximate if it is."""
        return f"{self.summary} (approximate: {self.approximate})" if self.approximate else self.summary

    def on(
        self,
        task: Task,
        changes: Mapping[str, Any] | None = None,
        source: str = GIVEN,
        preset: str | None = None,
    ) -> Recipe:
        """Returns the recipe of this method for a task.

        Args:
            task: The task.
            changes: Settings that differ from the defaults of the data set, the method and the preset.
            source: Recorded as the source of the changes. Those of the command line must have an effect.
            preset: Name of one of the ``presets``; None = the settings of the data set and the method.

        Raises:
            LongTailError: A setting or the preset is unknown, or a setting has a value that it cannot have, or no effect.
        """
        settings = task.settings.plus(self.settings)
        if preset is not None:
            found = self._preset(preset)
            absent = [name for name in found if name not in settings]
            if absent:
                raise LongTailError(
                    f"the preset {preset!r} of {self.name} sets {', '.join(absent)}, which {task.name} does not have; choose "
                    "one of its own data set"
                )
            settings = settings.plus({name: replace(one, kind=settings.kind(name)) for name, one in found.items()})
        settings = settings.changed(changes or {}, source)
        if source == GIVEN:
            check_effects(settings, changes or {})
        recipe = self.recipe(task, settings)
        phases = _augmented(recipe.phases, task, settings.get("augmentation", STANDARD))
        return replace(recipe, approximate=self.approximate, phases=phases, preset=preset or "")

    def _preset(self, name: str) -> Mapping[str, Setting]:
        if name not in self.presets:
            hint = did_you_mean(name, self.presets)
            there = f"there are {', '.join(self.presets)}" if self.presets else "it has none"
            raise LongTailError(f"{self.name} has no preset {name!r}{hint}; {there}")
        return self.presets[name]


def _augmented(phases: tuple[TrainingPhase, ...], task: Task, augmentation: str) -> tuple[TrainingPhase, ...]:
    """Returns the phases with another augmentation. Phases that name their views already keep them.

    Raises:
        LongTailError: The task's images do not have the augmentation.
    """
    if augmentation == STANDARD:
        return phases
    check_augmentation(augmentation, task.train.augmentations)
    return tuple(replace(p, views=(augmentation,)) if p.views == (STANDARD,) else p for p in phases)
