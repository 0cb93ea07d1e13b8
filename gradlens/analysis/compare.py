"""Compares two runs: the claims of Figure 1, and the difference of every measured quantity with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradlens.analysis.distortion import distortion_difference, distortion_interval
from gradlens.analysis.facts import nonfinite_text
from gradlens.analysis.figure1_claims import Claim, figure1_claims
from gradlens.analysis.quantities import quantities
from gradlens.analysis.two_runs import PairError, common_groups, long_tailed_first, paired_text, run_difference
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import mean_interval
from gradlens.metrics.catalogue import QUANTITIES

if TYPE_CHECKING:
    from gradlens.runlog import Run

# At most this many groups are compared. Nobody reads a longer table.
MOST_GROUPS = 12


@dataclass(frozen=True)
class Difference:
    """One quantity in both runs.

    Attributes:
        group: The group it is about, or "" for the whole run.
        quantity: Title of the quantity.
        a: Mean over the measured steps of the first run, with its interval.
        b: The same for the second run.
        difference: a - b, with its interval.
        percent: True if it is shown in percent.
    """

    group: str
    quantity: str
    a: Interval
    b: Interval
    difference: Interval
    percent: bool

    @property
    def intervals(self) -> tuple[Interval, Interval, Interval]:
        """The two means and their difference."""
        return self.a, self.b, self.difference

    @property
    def clear(self) -> bool:
        """True if the interval of the difference does not hold zero."""
        return self.difference.measurable and not self.difference.low <= 0 <= self.difference.high


@dataclass(frozen=True)
class Comparison:
    """The result of ``compare``.

    Attributes:
        a: Name of the first run.
        b: Name of the second run.
        groups: Groups that are the same in both runs.
        long_tailed: Name of the run that the claims take for the long-tailed run.
        claims: The claims of Figure 1; () if they cannot be measured.
        note: Why there are no claims, or "".
        mixed: A text that says which run has several phases, whose steps are averaged together; "" if neither has.
        nonfinite: A text that says how many steps of each run have a gradient that is not finite; "" if none.
        paired: A text that says over which steps differences are taken; "" if the runs measured different steps.
        differences: The difference of each quantity that was measured in both runs.
    """

    a: str
    b: str
    groups: tuple[str, ...]
    long_tailed: str
    claims: tuple[Claim, ...]
    note: str
    mixed: str
    nonfinite: str
    paired: str
    differences: tuple[Difference, ...]


def compare(a: Run, b: Run) -> Comparison:
    """Compares two runs over all their measured steps.

    The run whose samples are spread less evenly over the classes is taken for the long-tailed run.

    Args:
        a: First run.
        b: Second run.

    Raises:
        PairError: No group is the same in both runs. The message lists the groups of each.
    """
    groups = common_groups(a, b)
    long_tailed, balanced = long_tailed_first(a, b)
    claims: tuple[Claim, ...] = ()
    note = ""
    try:
        claims = tuple(figure1_claims(long_tailed, balanced))
    except PairError as error:
        note = str(error)
    found = tuple(differences(a, b, groups[:MOST_GROUPS]))
    notes = (note, mixed_phases(a, b), left_out(a, b), paired_text(a, b))
    return Comparison(a.name, b.name, groups, long_tailed.name, claims, *notes, found)


def mixed_phases(a: Run, b: Run) -> str:
    """Returns a text that says which of two runs have several phases; "" if neither has.

    Means over all steps of such a run mix its phases.
    """
    several = {
        run.name: ", ".join(phase.name for phase in run.phases) for run in dict.fromkeys((a, b)) if len(run.phases) > 1
    }
    if not several:
        return ""
    listed = "; ".join(f"{name}: {phases}" for name, phases in several.items())
    return f"Phases are mixed ({listed}): means are over all of them; the dashboard's page Dual-phase tells them apart."


def left_out(a: Run, b: Run) -> str:
    """Returns a text that says how many measured steps of two runs have a gradient that is not finite; "" if none."""
    texts = [f"{run.name}: {text}" for run in dict.fromkeys((a, b)) if (text := nonfinite_text(run))]
    return ". ".join(texts) + "." if texts else ""


def differences(a: Run, b: Run, groups: tuple[str, ...]) -> list[Difference]:
    """Returns the difference of every quantity that was measured in both runs.

    Args:
        a: First run.
        b: Second run.
        groups: Groups that both runs have.
    """
    rows = []
    for x, y in zip(quantities(a, groups), quantities(b, groups), strict=True):
        both = run_difference(a, b, x.values, y.values).within(*x.range_of_differences)
        mean_a, mean_b = (mean_interval(z.values).within(*z.range) for z in (x, y))
        row = Difference(x.group, x.title, mean_a, mean_b, both, x.quantity.percent)
        if row.a.samples and row.b.samples:
            rows.append(row)
    distortions = distortion_interval(a), distortion_interval(b), distortion_difference(a, b)
    if distortions[0].samples and distortions[1].samples:
        rows.append(Difference("", QUANTITIES["distortion"].title, *distortions, False))
    return rows
