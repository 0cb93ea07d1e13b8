"""Short texts about a run for titles and subtitles, escaped for plotly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.per_class import BATCHES
from gradlens.figures._theme import safe

if TYPE_CHECKING:
    from gradlens.groups import ClassGroups
    from gradlens.runlog import Probe, Run


# The quantity of the catalogue for each way to take the norm of a group ("contribution", "mean"), and a text for each way.
NORMS = {"contribution": "norm", "mean": "mean_norm"}
PERS = {"contribution": "contribution to the batch gradient", "mean": "mean gradient over its own samples"}


# Characters.
LONGEST_LINE = 130


def run_text(run: Run) -> str:
    """Returns the run's name."""
    return safe(run.name)


def groups_text(groups: ClassGroups, most: int = 4) -> str:
    """Returns the groups with their numbers of classes ("head 70 classes, tail 30"), or how many groups there are.

    Args:
        groups: The groups.
        most: With more groups than this, the text only says how many there are.
    """
    parts = [f"{safe(name)} {len(ids)}" for name, ids in zip(groups.names, groups.classes, strict=True)]
    if len(parts) > most:
        return f"{len(parts)} groups"
    one = "class" if groups.members is None else f"value of {safe(groups.members)}"
    parts[0] += f" {safe(groups.units)}" if len(groups.classes[0]) != 1 else f" {one}"
    return ", ".join(parts)


def some_groups(groups: ClassGroups, most: int) -> list[str]:
    """Returns the names of at most ``most`` groups, evenly spread from the first to the last: head, middle and tail."""
    return some_names(groups.names, most)


def some_names(names: Sequence[str], most: int) -> list[str]:
    """Returns at most ``most`` of the names, evenly spread from the first to the last."""
    places = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    return [names[place] for place in places]


def some_groups_text(groups: ClassGroups, most: int) -> str:
    """Returns a text that says how many groups ``some_groups`` chooses; "" if it chooses all."""
    return some_names_text(groups.names, most)


def some_names_text(names: Sequence[str], most: int) -> str:
    """Returns a text that says how many names ``some_names`` chooses; "" if it chooses all."""
    return f"{most} of {len(names)} groups, from the first to the last" if len(names) > most else ""


def run_keys(runs: Sequence[Run]) -> list[str]:
    """Returns a key for each run, by which the legend groups its lines: its name, or "name (2)" if the name is taken."""
    names = [run.name for run in runs]
    return [f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name for i, name in enumerate(names)]


def probe_text(probe: Probe) -> str:
    """Returns what a probe measured, and when.

    For example "whole data at step 155, epoch 24", or which training batches its mean is taken over.
    """
    if probe.label and probe.label.startswith(BATCHES):
        return f"mean of the {safe(probe.label)}"
    return f"whole data at step {probe.step:,}" + (f", {safe(probe.label)}" if probe.label else "")


def subtitle(*parts: str) -> str:
    """Joins the parts that are not empty. A new line begins where one would be too long for a figure of 1,200 pixels."""
    lines: list[str] = []
    for part in filter(None, parts):
        if lines and len(lines[-1]) + len(part) < LONGEST_LINE:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return " ·<br>".join(lines)
