"""Starts a run, new or resumed: makes its writer, and finds the number of its first step."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlens.runlog.writing.writer import RunWriter


def open_run(
    out: Path | str | None, *, resume: bool, groups: dict[str, Any], **facts: Any
) -> tuple[RunWriter | None, int]:
    """Returns the writer of a new or resumed run, and the number of its first step; (None, 0) without a folder.

    Args:
        out: The run's folder, or None.
        resume: Continue the run in ``out`` if there is one.
        groups: ``ClassGroups.to_json()``.
        **facts: Attributes of ``RunMeta``.

    Raises:
        RunError: The folder cannot be used.
        TypeError: RunMeta has no attribute of a fact's name.
    """
    if out is None:
        return None, 0
    from gradlens.runlog.format.description import RunMeta
    from gradlens.runlog.reading.reader import Run
    from gradlens.runlog.writing.writer import RunWriter

    unknown = set(facts) - {field.name for field in fields(RunMeta)}
    if unknown:
        raise TypeError(
            f"meta has {', '.join(sorted(unknown))}, which RunMeta lacks; put it under meta={{'extra': {{...}}}}"
        )
    step = 0
    if resume and (Path(out) / "run.json").exists():
        earlier = Run(out)
        measured = int(earlier.steps[-1]) + 1 if len(earlier.steps) else 0
        step = max(measured, int(earlier.meta.extra.get("steps", 0)))
    return RunWriter(out, RunMeta.here(groups, **facts), resume=resume), step
