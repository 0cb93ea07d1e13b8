"""Style: one case of the table of training styles in ``styles.py``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e import formulas as f

GROUPS = ("--groups", "head=0-1,tail=2-3")


@dataclass(frozen=True)
class Style:
    """One case.

    Attributes:
        name: Unique; also the folder of its runs.
        area: "loop", "loss", "data", "framework" or "distributed".
        title: What it is, for people.
        script: Program in ``scripts/``.
        arguments: Its arguments.
        formula: What every sample contributes to the loss, or None where there is no oracle.
        rest: The loss's terms without samples.
        step: What ends a training step: "optimizer", "last backward" (of those before an optimizer's step), "backward".
        options: Options of `gradlens track`.
        tolerance: How far Grams may be from the truth, in units of the vectors' norms.
        first: The first step that is measured.
        changes: Steps in which the model is found to be another, which are not measured.
        classes: Classes of the two groups.
        instead: Where it is not supported: the line that says so, and what to do.
        says: What a line says beside the measurement.
        source: Where class counts must have been found: part of the groups' rule.
        alone: Whether it needs a process that is no fork: its own workers, or a compiler's threads.
        compiles: Whether it needs a C++ compiler.
        reference: Arguments for the recorder of a script that starts workers, where they must be forked there.
        quick: Whether the default tests run it.
        needs: The library that it needs, by its name for import; "" if none beside those of the tests.
        finite: The least part of the steps whose gradients are finite, 1 unless some are NaN.
    """

    name: str
    area: str
    title: str
    script: str
    arguments: tuple[str, ...]
    formula: f.Formula | None = f.mean_ce
    rest: Callable[[Any, Any], Any] | None = None
    step: str = "optimizer"
    options: tuple[str, ...] = GROUPS
    tolerance: float = 1e-4
    first: int = 0
    changes: tuple[int, ...] = ()
    classes: tuple[tuple[int, ...], ...] = ((0, 1), (2, 3))
    instead: str = ""
    says: str = ""
    source: str = ""
    alone: bool = False
    compiles: bool = False
    reference: tuple[str, ...] = ()
    quick: bool = False
    needs: str = ""
    finite: float = 1.0

    @property
    def missing(self) -> bool:
        """Whether the library that it needs is not installed."""
        return bool(self.needs) and importlib.util.find_spec(self.needs) is None
