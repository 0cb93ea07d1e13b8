"""The facts about a run as short texts: status, method, data set, engine, overhead, lost steps and more."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradlens.analysis.durations import span
from gradlens.analysis.without_output import without_output_text
from gradlens.metrics.gram import UPDATE

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A list of runs names at most this many damages of each run. The page of the run names all.
MOST_DAMAGES = 3


def facts(run: Run) -> list[tuple[str, str]]:
    """Returns (name, text) for each known fact about a run, in reading order."""
    meta, status = run.meta, run.status
    state = status.state + (f": {status.reason}" if status.reason else "")
    found: list[tuple[str, Any]] = [
        ("status", state),
        ("method", meta.method),
        ("data set", meta.dataset),
        ("groups", repr(run.groups).removeprefix("ClassGroups(").removesuffix(")")),
        ("without an output", without_output_text(run)),
        ("training images", _images(meta.class_counts, run.groups.units)),
        ("measured", measured_text(run)),
        ("not finite", nonfinite_text(run)),
        ("cadence", meta.cadence),
        ("benefit of steps", no_benefit_text(run)),
        ("engine", _joined(meta.engine, meta.engine_reason)),
        ("overhead", overhead_text(run)),
        ("largest residual", _residual(run)),
        ("command", shlex.join(meta.command) if meta.command else None),
        ("seed", meta.seed),
        ("subset", meta.subset_hash),
        ("git commit", meta.git_commit),
        ("started", _when(meta.started)),
        ("duration", _duration(run)),
        ("versions", ", ".join(f"{n} {v}" for n, v in (("gradlens", meta.gradlens), ("torch", meta.torch)) if v)),
        ("machine", meta.host),
        *((f"hyper-parameter {key}", _setting(value)) for key, value in meta.hyperparameters.items()),
        ("folder", _folder(run.path)),
        ("lost", lost_text(run)),
        ("could not be read", "; ".join(run.warnings)),
        ("checksums", unproven_text(run)),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "")]


def training_steps(run: Run) -> int:
    """Returns the number of optimizer steps; while the training still runs, those up to the last measured step."""
    noted = run.meta.extra.get("steps")
    last = int(run.steps[-1]) + 1 if len(run.steps) else 0
    return max(noted, last) if isinstance(noted, int) else last


def measured_text(run: Run) -> str:
    """Returns a text that says how many of the optimizer steps were measured."""
    return f"{len(run.steps):,} of {training_steps(run):,} steps" if len(run.steps) else "no step yet"


def lost_text(run: Run) -> str | None:
    """Returns a text that says how many measured steps could not be written, and why; None if all were written."""
    lost = run.meta.extra.get("lost")
    rows = lost.get("rows") if isinstance(lost, dict) else None
    if not isinstance(lost, dict) or not isinstance(rows, int) or rows <= 0:
        return None
    return f"{len(run):,} of {len(run) + rows:,} measured steps were written, {rows:,} lost: {lost.get('cause', 'unknown')}"


def incomplete_texts(run: Run) -> list[str]:
    """Returns texts that say what is missing or damaged in a run: lost steps first, then the first few damages."""
    lost, found = lost_text(run), run.warnings
    more = [f"and {len(found) - MOST_DAMAGES} more"] if len(found) > MOST_DAMAGES else []
    return [*([lost] if lost else []), *found[:MOST_DAMAGES], *more]


def unproven_text(run: Run) -> str | None:
    """Returns a text that says that a run has no checksums, since an earlier version began it; None if it has checksums."""
    return None if run.proven else "none: begun by an earlier version, so damage may go unnoticed"


def nonfinite_text(run: Run) -> str | None:
    """Returns a text that says how many measured steps have a gradient that is not finite; None if all are finite.

    Means leave these steps out.
    """
    steps = int(run.nonfinite().sum())
    if not steps:
        return None
    have, them = ("has", "it") if steps == 1 else ("have", "them")
    scaled = any(event["kind"] == "nonfinite" and event.get("scaled") for event in run.events)
    usual = " (usual under a gradient scaler, which skips such steps)" if scaled else ""
    return (
        f"{steps:,} of {len(run):,} measured steps {have} a gradient that is not finite{usual}; means leave {them} out"
    )


def no_benefit_text(run: Run) -> str | None:
    """Returns a text that says why the benefit of steps is not known; None if it is known, or if nobody wanted to know it."""
    if not run.has_update:
        said = [event.get("message") for event in run.events if event["kind"] == "no-update"]
        return str(said[-1]) if said else None
    if len(run) and not np.isfinite(run.norm(UPDATE)).any():
        return (
            "not known: the optimizer's step could not be seen in any measured step (it steps inside the backward pass)"
        )
    return None


def overhead_text(run: Run) -> str | None:
    """Returns a text that says what measuring cost; None if it is not known.

    This is the fraction of the training time that the lens has recorded, or else the median time of a measured step.
    """
    ratio = run.meta.timings.get("overhead")
    if isinstance(ratio, (int, float)) and np.isfinite(ratio):
        return f"{ratio:.1%} of the training time"
    seconds = run.seconds[np.isfinite(run.seconds)]
    return f"{span(float(np.median(seconds)))} a measured step (median)" if len(seconds) else None


def _folder(path: Path) -> str:
    """Returns the path relative to the working directory, or the path itself if it lies elsewhere."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _images(counts: tuple[float, ...] | None, units: str) -> str | None:
    if not counts:
        return None
    one = "class" if units == "classes" else "value"
    return f"{sum(counts):,.0f} in {len(counts)} {units}, {max(counts):,.0f} to {min(counts):,.0f} a {one}"


def _setting(value: Any) -> Any:
    """Returns a hyper-parameter as text or as it is. Settings of the lab come with their source, which is added."""
    if isinstance(value, dict) and value.keys() == {"value", "source"}:
        return f"{value['value']} ({value['source']})"
    return value


def _joined(engine: str | None, reason: str | None) -> str | None:
    return f"{engine} ({reason})" if engine and reason else engine


def _residual(run: Run) -> str | None:
    residual = run.residual[np.isfinite(run.residual)]
    return f"{residual.max():.1e} of the gradient's norm" if len(residual) else None


def _when(started: float | None) -> str | None:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(started)) if started is not None else None


def _duration(run: Run) -> str | None:
    started, times = run.meta.started, run.time
    end = run.meta.ended if run.meta.ended is not None else (float(times[-1]) if len(times) else None)
    return span(end - started) if started is not None and end is not None and end >= started else None
