"""Whether the optimizer (momentum, Adam's scaling, clipping) moves the balance between the groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.quantities import filled_share
from gradlens.diagnosis.finding import LEVEL, Finding, Severity
from gradlens.diagnosis.portions import Portion, careful, looked_at, portions
from gradlens.diagnosis.words import group_text, percent_text, whole
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import interval
from gradlens.metrics.gram import UPDATE, Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A smaller move is not worth a sentence.
LEAST = 0.05
# Without this much in common with the gradient, shares of the update's descent say nothing.
LEAST_COSINE = 0.02


def moved(run: Run, group: str, part: Portion, among: int) -> tuple[Interval, float] | None:
    """Returns by how much a group's part of the descent differs between the optimizer's step and the gradient, and that part.

    Along a direction u, the loss falls by <g, u>, of which the group brings <g_k, u>. Both are divided by |g| |u| in each step,
    so that a falling learning rate gives no weights.
    """
    along = run.cosine(UPDATE)[part.rows]
    bring = _brought(run, group)[part.rows]
    share = filled_share(run, group)[part.rows]
    if careful(along).verdict(LEAST_COSINE) is not True:
        return None
    columns = np.stack([bring, along, share], axis=1)
    found = interval([columns], lambda m: m[0][0] / m[0][1] - m[0][2], level=1 - (1 - LEVEL) / among)
    kept = columns[np.isfinite(columns).all(1)]
    return found, float(kept[:, 0].mean() / kept[:, 1].mean())


def optimizer(run: Run) -> Finding | None:
    """Says which group the optimizer strengthens or weakens most."""
    if not run.has_update or len(run.groups) < 2 or not len(run):
        return None
    part = portions(run)[-1]
    names = looked_at(run)
    found = {name: moved(run, name, part, len(names)) for name in names}
    clear = {
        name: known
        for name, known in found.items()
        if known is not None and known[0].measurable and known[0].verdict() is not None and abs(known[0].value) >= LEAST
    }
    if not clear:
        return None
    # With two groups both move by the same; the one that loses is named.
    name = min(clear, key=lambda each: (-round(abs(clear[each][0].value), 9), clear[each][0].value))
    x, with_it = clear[name]
    verb = "weakens" if x.value < 0 else "strengthens"
    sentence = (
        f"The optimizer {verb} {group_text(name)}: along the step that it takes (momentum, scaling, weight decay), "
        f"{group_text(name)} brings {whole(with_it)} of the fall of the loss; along the plain gradient it would be "
        f"{whole(with_it - x.value)}, a difference of {percent_text(x).replace('%', '')} points."
    )
    return Finding("optimizer", Severity.NOTE, sentence, x.value, x, "update")


def clipping(run: Run) -> Finding | None:
    """Says that the gradient is clipped in most steps."""
    scales = {int(e["step"]): float(e["scale"]) for e in run.events if _is_scale(e)}
    steps = [step for step, scale in scales.items() if scale < 1]
    if not len(run) or not steps:
        return None
    x = careful(np.isin(run.steps, steps).astype(np.float64)).within(0.0, 1.0)
    if x.verdict(LEAST) is not True:
        return None
    middle = float(np.median([scale for scale in scales.values() if scale < 1]))
    sentence = (
        f"Before the optimizer steps, the gradient is made shorter (clipped) in {percent_text(x)} of the steps, in half "
        "of them to "
        f"{whole(middle)} of its length or less."
    )
    return Finding("clipping", Severity.NOTE, sentence, x.value, x, "norms")


def _brought(run: Run, group: str) -> Floats:
    """Returns [T] <g_k, u> / (|g| |u|), 0 where the group has no sample."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = run.conflict(group, UPDATE) * run.norm(group) / run.norm()
    absent = np.isnan(run.norm(group)) & np.isfinite(run.norm())
    return np.asarray(np.where(absent, 0.0, found))


def _is_scale(event: dict[str, object]) -> bool:
    return (
        event["kind"] == "stepped scale"
        and isinstance(event.get("step"), int)
        and isinstance(event.get("scale"), (int, float))
    )
