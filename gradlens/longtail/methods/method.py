"""``Method``: a method of long-tailed recognition, with its own settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class Method:
    """A method of long-tailed recognition.

    Attributes:
        name: Its name on the command line.
        summary: One line that describes it.
        settings: Its own hyper-parameters with their sources. They replace those of the data set.
        recipe: Maps a task and all settings to the recipe that `fit` runs.
        approximate: Why it cannot follow its reference exactly; "" if it does. Help texts and run.json say it.
    """

    name: str
    summary: str
    settings: Mapping[str, Setting]
    recipe: Callable[[Task, Settings], Recipe]
    approximate: str = ""

    @property
    def described(self) -> str:
        """The summary, and why the method is approximate if it is."""
        return f"{self.summary} (approximate: {self.approximate})" if self.approximate else self.summary

    def on(self, task: Task, changes: Mapping[str, Any] | None = None, source: str = "command line") -> Recipe:
        """Returns the recipe of this method for a task.

        Args:
            task: The task.
            changes: Settings that differ from the defaults of the data set and the method.
            source: Recorded as the source of the changes.

        Raises:
            LongTailError: A setting is unknown, or has a value that it cannot have.
        """
        recipe = self.recipe(task, task.settings.plus(self.settings).changed(changes or {}, source))
        return replace(recipe, approximate=self.approximate)
