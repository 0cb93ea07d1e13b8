"""Finds and sorts runs in a list: words and conditions such as ``accuracy>50 method=ce``. It needs only the standard library."""

from __future__ import annotations

import difflib
import math
import operator
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradlens.analysis.row import Overview
from gradlens.runlog.errors import RunError
from gradlens.runlog.format.card import Card, read_card

# The longer signs come first.
SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip
CONDITION = re.compile(rf"([^\s<>=!]+)({'|'.join(SIGNS)})(.*)", re.DOTALL)


class QueryError(ValueError):
    """A list of runs was asked for something that it does not have. The message says the cause and the fix."""


@dataclass(frozen=True)
class ListedRun:
    """A run in a list.

    Attributes:
        name: Its name in the list, such as its path.
        row: What was measured.
        card: What people have written about it.
    """

    name: str
    row: Overview
    card: Card

    @property
    def title(self) -> str:
        """What lists and figures call the run."""
        return self.card.title or self.name


def with_cards(
    found: Iterable[tuple[Path, Overview | RunError]],
) -> tuple[list[ListedRun], dict[Path, RunError]]:
    """Returns the runs of ``gradlens.analysis.kept_overview.overviews`` with their cards, and folder -> error for the others."""
    runs, broken = [], {}
    for path, row in found:
        if isinstance(row, RunError):
            broken[path] = row
        else:
            runs.append(ListedRun(str(path), row, read_card(path)))
    return runs, broken


# Name of a field -> its value. Text is compared without regard to capitals, NaN and "" are no value.
FIELDS: dict[str, Callable[[ListedRun], str | float]] = {
    "name": lambda run: run.name,
    "title": lambda run: run.title,
    "tag": lambda run: ",".join(run.card.tags),
    "note": lambda run: run.card.note,
    "status": lambda run: run.row.state,
    "method": lambda run: run.row.method,
    "data": lambda run: run.row.dataset,
    "groups": lambda run: run.row.headline.groups,
    "engine": lambda run: run.row.engine,
    "cadence": lambda run: run.row.cadence,
    "seed": lambda run: math.nan if run.row.seed is None else run.row.seed,
    "steps": lambda run: run.row.steps,
    "measured": lambda run: run.row.measured,
    "distortion": lambda run: run.row.headline.distortion.value,
    "last-phase": lambda run: run.row.headline.last_phase.value,
    "accuracy": lambda run: run.row.accuracy,
    "started": lambda run: run.row.started,
}


@dataclass(frozen=True)
class _Condition:
    """A field and what its value must be. Without a field: a word that one of the texts of the run holds."""

    field: str
    sign: str
    value: str

    def holds(self, run: ListedRun) -> bool:
        """Says whether a run fulfils it. A run without the value fulfils only ``!=``."""
        if not self.field:
            row = run.row
            signs = ("live" if row.live else "", "⚠" if row.incomplete else "", "~" if row.headline.few else "")
            texts = (run.name, run.card.title, *run.card.tags, row.method, row.dataset, row.state, *signs)
            return any(self.value in text.lower() for text in texts)
        found = value_of(run, self.field)
        if self.field == "tag" and self.sign in ("=", "!="):
            return (self.value in [tag.lower() for tag in run.card.tags]) == (self.sign == "=")
        if _absent(found):
            return self.sign == "!="
        number, wanted = _number(found), _number(self.value)
        if number is not None and wanted is not None:
            return SIGNS[self.sign](number, wanted)
        same = str(found).lower() == self.value
        return {"=": same, "!=": not same}.get(self.sign, False)


def matching(runs: Sequence[ListedRun], texts: Iterable[str]) -> list[ListedRun]:
    """Returns the runs that fulfil all conditions, in their order.

    Args:
        runs: The runs.
        texts: Words and conditions, one or more in each text: ``ce``, ``method=ce``, ``accuracy>50 seed!=0``. A field is one
            of FIELDS or the name of a hyper-parameter. Quotes keep spaces: ``'note=first try'``.

    Raises:
        QueryError: A field is unknown, an amount is no number, or a quote has no end.
    """
    conditions = [condition for text in texts for condition in _conditions(text, runs)]
    return [run for run in runs if all(condition.holds(run) for condition in conditions)]


def sorted_by(runs: Sequence[ListedRun], field: str) -> list[ListedRun]:
    """Returns the runs sorted by a field, runs without a value last.

    Args:
        runs: The runs.
        field: One of FIELDS or the name of a hyper-parameter; "-" before it puts the largest first.

    Raises:
        QueryError: The field is unknown.
    """
    down, name = field.startswith("-"), known_field(field.removeprefix("-"), runs)
    found = [(value_of(run, name), run) for run in runs]
    present = [pair for pair in found if not _absent(pair[0])]
    present.sort(key=lambda pair: _order(pair[0]), reverse=down)
    return [run for _, run in present] + [run for value, run in found if _absent(value)]


def value_of(run: ListedRun, field: str) -> str | float:
    """Returns the value of a field; "" or NaN if the run has none."""
    return FIELDS[field](run) if field in FIELDS else dict(run.row.settings).get(field, "")


def settings_of(runs: Iterable[ListedRun]) -> list[str]:
    """Returns the names of the hyper-parameters of the runs, each once, without those that are named as a field."""
    return list(dict.fromkeys(name for run in runs for name, _ in run.row.settings if name not in FIELDS))


def known_field(name: str, runs: Sequence[ListedRun]) -> str:
    """Returns the name of a field.

    Raises:
        QueryError: No run has such a field.
    """
    settings = settings_of(runs)
    if name in FIELDS or name in settings:
        return name
    near = difflib.get_close_matches(name, [*FIELDS, *settings], n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(FIELDS)}"
    more = (
        f" or a hyper-parameter ({', '.join(settings[:8])}{', ...' if len(settings) > 8 else ''})" if settings else ""
    )
    raise QueryError(f"no run here has {name!r}; {hint}{'' if near else more}")


def _conditions(text: str, runs: Sequence[ListedRun]) -> Iterable[_Condition]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise QueryError(f"{text!r} has a quote without an end; write 'note=first try'") from None
    for word in words:
        match = CONDITION.fullmatch(word)
        if match is None:
            yield _Condition("", "", word.lower())
            continue
        name, sign, value = match[1], match[2], match[3].lower()
        field = known_field(name, runs)
        if sign not in ("=", "!=") and _number(value) is None:
            raise QueryError(
                f"{word!r} compares with {match[3]!r}, which is no number; write {name}{sign}0.5 or {name}=TEXT"
            )
        yield _Condition(field, sign, value)


def _absent(value: str | float) -> bool:
    return value == "" if isinstance(value, str) else math.isnan(value)


def _number(value: str | float) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _order(value: str | float) -> tuple[bool, float, str]:
    number = _number(value)
    return (number is None, 0.0 if number is None or math.isnan(number) else number, str(value).lower())
