"""What the evaluations of a run say, as a table: accuracies, calibration and mistakes in the last and in the best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlens.runlog import Run

OVERALL = "overall"
# Name -> title of a row. The groups of the run come after the accuracies that the long-tail lab evaluates.
ACCURACIES = {
    OVERALL: "accuracy of all images",
    "balanced": "balanced accuracy (mean over the classes)",
    "many": "accuracy, many-shot classes",
    "medium": "accuracy, medium-shot classes",
    "few": "accuracy, few-shot classes",
}
OTHERS = {
    "tail_as_head": "tail taken for head",
    "head_as_tail": "head taken for tail",
    "ece": "calibration error (ECE)",
}
ABSENT = "–"


@dataclass(frozen=True)
class EvaluationTable:
    """A table of the evaluations of a run.

    Attributes:
        head: Titles of the columns. The first one is empty.
        rows: The cells: the title of a number, then the number in percent for each column.
        note: On which split the best epoch was chosen, and what the words mean.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def evaluation_table(run: Run) -> EvaluationTable | None:
    """Returns the numbers of the last and of the best epoch; None if the run has no evaluation with accuracies.

    The best epoch is the one with the highest overall accuracy on the split that is evaluated after each epoch, the earliest of
    several. A run of the long-tail lab that has ended also has the numbers of its other splits in both epochs.

    Args:
        run: The run.
    """
    titles = {**ACCURACIES, **{name: f"accuracy, {name}" for name in run.groups.names}, **OTHERS}
    found = [evaluation for evaluation in run.evaluations if any(_is_number(evaluation.get(name)) for name in titles)]
    if not found:
        return None
    of_split: dict[str, list[Mapping[str, Any]]] = {}
    for evaluation in found:
        of_split.setdefault(str(evaluation.get("split", "held-out data")), []).append(evaluation)
    (split, own), *logged = of_split.items()
    columns: list[tuple[str, Mapping[str, Any]]] = [(f"{split}, last epoch{_epoch(own[-1])}", own[-1])]
    rated = [evaluation for evaluation in own if _is_number(evaluation.get(OVERALL))]
    best = max(rated, key=lambda evaluation: float(evaluation[OVERALL]), default=None)
    if best is not None:
        columns.append((f"{split}, best epoch{_epoch(best)}", best))
    result: Mapping[str, Any] = next((event for event in reversed(run.events) if event["kind"] == "result"), {})
    ends = {name: same[-1] for name, same in logged} | result.get("other_splits", {})
    columns += [(f"{name}, last epoch", numbers) for name, numbers in ends.items()]
    others = {
        name: e for name, same in logged for e in same if best is not None and e.get("epoch") == best.get("epoch")
    }
    others |= result.get("best_other_splits", {})
    columns += [(f"{name}, that best epoch", numbers) for name, numbers in others.items()]
    scale = 100.0 if _are_fractions(found, [*ACCURACIES, *run.groups.names]) else 1.0
    rows = [
        (title, *(_percent(numbers.get(name), scale) for _, numbers in columns))
        for name, title in titles.items()
        if any(_is_number(numbers.get(name)) for _, numbers in columns)
    ]
    return EvaluationTable(("", *(title for title, _ in columns)), tuple(rows), _note(split, best, result, bool(ends)))


def _note(split: str, best: Mapping[str, Any] | None, result: Mapping[str, Any], others: bool) -> str:
    words = "In percent; the more the better, but for what is taken for another group and for the calibration error."
    if best is None:
        return words
    so_far = "" if result else " so far"
    if others:
        return f"{words} The best epoch{so_far} is chosen on {split}; the other splits had no part in it."
    return f"{words} The best epoch{so_far} is chosen on {split} itself, so its numbers are too high for a test."


def _epoch(evaluation: Mapping[str, Any]) -> str:
    """Returns the number of an epoch, from 1, in brackets; "" where it is unknown. Events count from 0."""
    epoch: Any = evaluation.get("epoch")
    return f" ({int(epoch) + 1})" if _is_number(epoch) else ""


def _are_fractions(evaluations: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bool:
    values = [float(e[name]) for e in evaluations for name in names if _is_number(e.get(name))]
    return bool(values) and max(values) <= 1


def _percent(value: Any, scale: float) -> str:
    return f"{scale * float(value):.1f}" if _is_number(value) and math.isfinite(float(value)) else ABSENT


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
