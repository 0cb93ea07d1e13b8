"""The list of ``gradlens ls --json``, for other programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradlens.analysis.run_query import ListedRun
from gradlens.estimation.interval import Interval
from gradlens.runlog.errors import RunError


def runs_json(runs: Iterable[ListedRun], broken: Mapping[Path, RunError]) -> list[dict[str, Any]]:
    """Returns an object for each run, in their order, and one with ``path`` and ``error`` for each that cannot be read.

    Numbers are whole, not rounded: a distortion from 0 to 1, accuracies in percent, ``started`` in Unix seconds. What is not
    known is NaN or None, which JSON writes as null.

    Args:
        runs: The runs.
        broken: Folder -> error.
    """
    return [_run(run) for run in runs] + [{"path": str(path), "error": str(why)} for path, why in broken.items()]


def _run(run: ListedRun) -> dict[str, Any]:
    row, card = run.row, run.card
    head = row.headline
    return {
        "path": run.name,
        "title": run.title,
        "tags": list(card.tags),
        "note": card.note,
        "place": card.place or "list",
        "status": row.state,
        "reason": row.reason,
        "method": row.method,
        "dataset": row.dataset,
        "groups": head.groups,
        "seed": row.seed,
        "hyperparameters": dict(row.settings),
        "steps": row.steps,
        "measured": row.measured,
        "engine": row.engine,
        "cadence": row.cadence,
        "distortion": _interval(head.distortion),
        "last_phase": {"name": head.phase, **_interval(head.last_phase)} if head.phase else None,
        "accuracy": row.accuracy,
        "started": row.started,
        "warnings": [
            text for text in (*row.incomplete, row.nonfinite, row.without_output, row.unproven, card.problem) if text
        ],
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {"value": interval.value, "low": interval.low, "high": interval.high, "without_interval": interval.why}
