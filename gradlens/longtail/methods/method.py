"""Method: a way to train, with the settings that are its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class Method:
    """A method of long-tailed recognition.

    Attributes:
        name: As on the command line.
        summary: One line.
        settings: Its own hyper-parameters with their sources; they win over those of the data set.
        recipe: (task, all settings) -> what `fit` runs.
    """

    name: str
    summary: str
    settings: Mapping[str, Setting]
    recipe: Callable[[Task, Settings], Recipe]

    def on(self, task: Task, changes: Mapping[str, Any] | None = None, source: str = "command line") -> Recipe:
        """Returns the recipe of this method for a task.

        Args:
            task: What is to be learnt.
            changes: Settings that differ from the defaults of the data set and the method.
            source: What is recorded as the source of the changes.

        Raises:
            LongTailError: An unknown setting or a value that it cannot have.
        """
        return self.recipe(task, task.settings.plus(self.settings).changed(changes or {}, source))
