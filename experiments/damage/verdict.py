"""Compares a damaged run, as the reader reads it, with the sound run. Either every number is right, or the reader must say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.overview import overview
from gradlens.analysis.run_query import with_cards
from gradlens.reports.html import render
from gradlens.reports.listing import runs_text
from gradlens.runlog import Run, RunError, list_runs

META = ("groups", "class_counts", "seed", "method", "dataset", "hyperparameters", "status", "engine")
COLUMNS = ("time", "epoch", "counts", "loss", "correct", "residual", "total_loss", "seconds")


@dataclass(frozen=True)
class Truth:
    """Everything that can be read from a run.

    Attributes:
        steps: [T] measured steps.
        arrays: Name -> [T, ...] values by step.
        whole: Name -> value of the whole run: phases, marks, evaluations, probes.
        meta: Name -> fact in run.json.
    """

    steps: np.ndarray
    arrays: dict[str, np.ndarray]
    whole: dict[str, Any]
    meta: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> Truth:
        """Returns everything that can be read from a run."""
        arrays = {name: run.column({"time": "time"}.get(name, name)) for name in COLUMNS}
        arrays["gram"] = run.gram()
        arrays |= {f"layer {name}": run.gram(name) for name in run.layers}
        arrays |= {f"share {name}": run.share(name) for name in run.groups.names}
        whole = {
            "phases": run.phases,
            "marks": run.marks,
            "evaluations": run.evaluations,
            "probes": [(p.step, p.gram.tobytes(), p.counts.tobytes()) for p in run.probes],
        }
        return cls(run.steps, arrays, whole, {name: getattr(run.meta, name) for name in META})


def differences(found: Truth, truth: Truth, *, meta: bool) -> list[str]:
    """Returns the names of what differs between a damaged and the sound run. Missing steps do not count.

    Args:
        found: The damaged run.
        truth: The sound run.
        meta: True if facts in run.json count.
    """
    other = [] if np.array_equal(found.steps, truth.steps) else ["steps"]
    shared, at, of = np.intersect1d(found.steps, truth.steps, return_indices=True)
    if len(shared) < len(found.steps):
        other.append("steps that were never measured")
    for name, values in truth.arrays.items():
        if name not in found.arrays or not np.array_equal(found.arrays[name][at], values[of], equal_nan=True):
            other.append(name)
    other += [name for name, value in truth.whole.items() if found.whole[name] != value]
    return other + [name for name, value in truth.meta.items() if meta and found.meta[name] != value]


def verdict(folder: Path, truth: Truth, *, meta: bool, report: bool) -> tuple[str, str]:
    """Returns a verdict about how a damaged run is read, and details.

    "same": nothing differs. "told": the reader warns. "refused": it refuses to open the run. "SILENT": something differs, and the
    reader says nothing.

    Args:
        folder: Folder that holds the damaged run ("damaged") and the sound run ("sound").
        truth: The run before it was damaged.
        meta: True if facts in run.json count.
        report: True to write a report of both runs as well, which takes a second.
    """
    rows = overviews(folder)
    runs_text(*with_cards(rows), width=150)
    listing = list_runs(folder)
    runs = [run for _, run in listing if isinstance(run, Run)]
    if not any(run.path.name == "sound" and len(run) == len(truth.steps) for run in runs):
        return "SILENT", "the sound run beside it is not listed"
    if report:
        render(runs)
    try:
        run = Run(folder / "damaged")
    except RunError as error:
        return "refused", str(error)[:200]
    if repr(dict(rows)[run.path]) != repr(overview(run)):  # NaN is equal to NaN
        return "SILENT", "the list shows an earlier row of the run"
    other = differences(Truth.of(run), truth, meta=meta)
    said = [*run.warnings, *([run.status.reason] if run.status.reason else [])]
    if not other:
        return ("told" if said else "same"), "; ".join(said)[:200]
    return ("told", "; ".join(said)[:200]) if said else ("SILENT", ", ".join(other)[:200])
