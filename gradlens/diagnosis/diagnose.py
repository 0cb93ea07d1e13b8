"""``diagnose``: asks all rules about a run, and puts what they found in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gradlens.diagnosis.balance import balance
from gradlens.diagnosis.benefit import benefit
from gradlens.diagnosis.conflict import conflict
from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.labels import no_data, nothing_learnt, wrong_labels
from gradlens.diagnosis.noise import noise
from gradlens.diagnosis.numbers import growing_loss, not_finite
from gradlens.diagnosis.optimizer import clipping, optimizer
from gradlens.diagnosis.processes import part_of_loss, same_samples
from gradlens.diagnosis.record import incomplete
from gradlens.diagnosis.sampling import drawn_shares, not_shuffled
from gradlens.diagnosis.stepping import no_step, other_gradient, uphill

if TYPE_CHECKING:
    from gradlens.runlog import Run

# In the order in which findings of the same severity are told.
RULES: tuple[Callable[[Run], Finding | None], ...] = (
    balance, benefit, conflict, not_finite, growing_loss, no_step, uphill, no_data, nothing_learnt, wrong_labels, same_samples,
    part_of_loss, not_shuffled, drawn_shares, optimizer, clipping, other_gradient, incomplete, noise,
)  # fmt: skip
# What a finding says already -> rules that would say it again.
SAYS = {
    "no data": ("balance", "noise", "drawn shares"),
    "no step": ("benefit", "nothing learnt"),
    "uphill": ("benefit", "optimizer", "nothing learnt"),
    "growing loss": ("nothing learnt", "wrong labels"),
    "nothing learnt": ("wrong labels",),
    "not shuffled": ("noise",),
}


def diagnose(run: Run) -> list[Finding]:
    """Returns what the rules found, the most important first. Nothing is said twice."""
    found = {finding.rule: finding for rule in RULES if (finding := rule(run)) is not None}
    again = {rule for name in found for rule in SAYS.get(name, ())}
    order = list(Severity)
    kept = sorted((f for name, f in found.items() if name not in again), key=lambda f: order.index(f.severity))
    given: set[str] = set()
    told = []
    for finding in kept:
        told.append(replace(finding, advice="") if finding.advice in given else finding)
        given.add(finding.advice)
    return told
