"""Short texts about a run for titles and subtitles, safe for plotly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradlens.figures._theme import safe

if TYPE_CHECKING:
    from gradlens.groups import ClassGroups
    from gradlens.runlog import Run


def run_text(run: Run) -> str:
    """Returns the run's name."""
    return safe(run.name)


def groups_text(groups: ClassGroups, most: int = 4) -> str:
    """Returns the groups with their numbers of classes: "head 70 classes, tail 30"."""
    parts = [f"{safe(name)} {len(ids)}" for name, ids in zip(groups.names, groups.classes, strict=True)]
    if len(parts) > most:
        return f"{len(parts)} groups"
    parts[0] += " classes" if len(groups.classes[0]) != 1 else " class"
    return ", ".join(parts)


def subtitle(*parts: str) -> str:
    """Joins what is not empty."""
    return " · ".join(part for part in parts if part)
