"""The claims of the paper's Figure 1 about a long-tailed and a balanced run. Each is measured and gets a verdict.

Figure 1 shows two quantities over training: the cosines of the head's gradient (grad1) and the tail's gradient (grad2) with the
overall gradient (panel a: long-tailed, b: balanced), and the norms of the three gradients (panels c, d). The paper does not say
whether grad1 and grad2 are contributions to the batch gradient or means over the group's own samples. So each statement about
the norm of a group is judged under both conventions. Cosines and the overall gradient are the same under both.

How much a norm fluctuates is measured by the geometric mean of the absolute values of its fluctuations. A variance is not used:
norms have heavy tails, so a few steps decide it, and no interval for it covers as often as it says. Tests of spread on the
logarithms of absolute deviations are robust (Miller 1968; Conover, Johnson and Johnson 1981). A relative fluctuation is the
fluctuation of the logarithm of the norm.

Each verdict uses its own 95 % interval. It is not corrected for the number of claims. experiments/results/statistics has how
often claims err.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from gradlens.analysis.two_runs import head_and_tail, run_difference
from gradlens.estimation.interval import FEWEST, Interval
from gradlens.estimation.intervals import Floats, mean_interval
from gradlens.estimation.rank_correlation import rank_correlation
from gradlens.estimation.smoothing import fluctuations

if TYPE_CHECKING:
    from gradlens.runlog import Run

Convention = Literal["contribution", "mean"]
CONVENTIONS: tuple[Convention, ...] = ("contribution", "mean")
# A fluctuation is a deviation from the mean over a window of 1 / 20 of the measured steps. Slower changes are a trend.
WINDOW_SHARE = 20
SMALLEST_WINDOW = 10
NOT_CORRECTED = (
    "The verdicts are not corrected for their number: if two runs do not differ, about 3 in 10 pairs still get a verdict "
    "somewhere."
)
VERDICTS = {True: "supported", False: "contradicted", None: "undecided"}


@dataclass(frozen=True)
class Claim:
    """One statement of Figure 1 with one measure of it.

    Attributes:
        panel: The panels it is about: "a", "b", "a, b", "c" or "c, d".
        convention: "contribution" or "mean" (see ``Run.norm``), or "both" if the statement does not depend on it.
        statement: What the paper says, with the names of the groups.
        measure: What was computed to judge it.
        effect: The measured value, or None if it cannot be measured.
        low: Lower end of its 95 % interval, or None.
        high: Upper end of the interval, or None.
        threshold: The effect that would mean "no difference": 0 for differences and correlations, 1 for ratios.
        supported: True if the whole interval is above the threshold; False if it is below (contradicted); None if it holds
            the threshold, or if there is no interval (see ``note``).
        samples: Measured steps behind the effect; with two runs, those of the run that has fewer.
        note: Why there is no interval, or "".
    """

    panel: str
    convention: str
    statement: str
    measure: str
    effect: float | None
    low: float | None
    high: float | None
    threshold: float
    supported: bool | None
    samples: int
    note: str = ""

    @property
    def verdict(self) -> str:
        """The verdict in words: supported, contradicted or undecided."""
        return VERDICTS[self.supported]

    def __str__(self) -> str:
        per = "" if self.convention == "both" else f" [{self.convention}]"
        if self.effect is None or self.low is None or self.high is None:
            return f"({self.panel}) {self.statement}{per}: undecided ({self.note})"
        found = f"{self.measure} = {self.effect:.4g}, 95 % interval {self.low:.4g} to {self.high:.4g}"
        return f"({self.panel}) {self.statement}{per}: {self.verdict} ({found}; {self.threshold:g} = no difference)"


def figure1_claims(long_tailed: Run, balanced: Run, head: str | None = None, tail: str | None = None) -> list[Claim]:
    """Measures all statements of Figure 1.

    A statement may have several measures. Their claims follow each other.

    Args:
        long_tailed: Run on long-tailed data.
        balanced: Run on balanced data, measured with the same groups.
        head: The group for grad1. The default is "head", or else the first group that both runs have.
        tail: The group for grad2. The default is "tail", or else the last group that both runs have.

    Raises:
        PairError: The runs have fewer than two groups in common, or they do not share the named groups.
    """
    head, tail = head_and_tail(long_tailed, balanced, head, tail)
    return [
        *_cosine_claims(long_tailed, balanced, head, tail),
        *_group_norm_claims(long_tailed, balanced, head, tail),
        *_overall_norm_claims(long_tailed, balanced),
        *_cause_claims(long_tailed, tail),
    ]


def by_statement(claims: Iterable[Claim]) -> list[list[Claim]]:
    """Returns lists of claims: one list for each statement, in the order of ``figure1_claims``."""
    return [list(same) for _, same in groupby(claims, lambda claim: (claim.panel, claim.statement))]


def notes_of(claims: Iterable[Claim]) -> list[str]:
    """Returns the reasons why claims have no interval, each reason once."""
    return list(dict.fromkeys(claim.note for claim in claims if claim.note))


def fluctuation_window(steps: int) -> int:
    """Returns how many measured steps the running mean covers from which fluctuations are taken.

    Args:
        steps: Measured steps of the run.
    """
    return max(SMALLEST_WINDOW, steps // WINDOW_SHARE)


def _cosine_claims(long_tailed: Run, balanced: Run, head: str, tail: str) -> list[Claim]:
    heads = [run.cosine(head) for run in (long_tailed, balanced)]
    tails = [run.cosine(tail) for run in (long_tailed, balanced)]
    gaps = [h - t for h, t in zip(heads, tails, strict=True)]
    found = [
        ("a", f"in the long-tailed run the overall gradient is closer to {head} than to {tail}",
         f"cos({head}) - cos({tail})", mean_interval(gaps[0])),
        ("a", f"in the long-tailed run the overall gradient is shifted towards {head}, compared with the balanced run",
         f"cos({head}), long-tailed - balanced", _between(long_tailed, balanced, *heads)),
        ("b", f"in the balanced run the overall gradient stays closer to {tail} than in the long-tailed run",
         f"cos({tail}), balanced - long-tailed", _between(balanced, long_tailed, tails[1], tails[0])),
        ("a, b", f"the gap between {head} and {tail} is wider in the long-tailed run",
         f"cos({head}) - cos({tail}), long-tailed - balanced", _between(long_tailed, balanced, *gaps)),
    ]  # fmt: skip
    return [_claim(panel, "both", statement, measure, effect, 0.0) for panel, statement, measure, effect in found]


def _group_norm_claims(long_tailed: Run, balanced: Run, head: str, tail: str) -> list[Claim]:
    statement = f"in the long-tailed run the norm of {tail} fluctuates more than that of {head}"
    within = []
    for per in CONVENTIONS:
        sizes = [_relative_sizes(long_tailed.norm(group, per=per)) for group in (tail, head)]
        effect = _ratio(mean_interval(sizes[0] - sizes[1]))
        within.append(_claim("c", per, statement, f"relative fluctuation, {tail} / {head}", effect, 1.0))
    statement = f"the norm of {tail} fluctuates more in the long-tailed run than in the balanced run"
    measure = f"relative fluctuation of {tail}, long-tailed / balanced"
    between = []
    for per in CONVENTIONS:
        sizes = [_relative_sizes(run.norm(tail, per=per)) for run in (long_tailed, balanced)]
        effect = _ratio(_between(long_tailed, balanced, sizes[0], sizes[1]))
        between.append(_claim("c, d", per, statement, measure, effect, 1.0))
    return within + between


def _overall_norm_claims(long_tailed: Run, balanced: Run) -> list[Claim]:
    measures: list[tuple[str, Callable[[Floats], Floats]]] = [
        ("absolute deviation from the median of the run", _deviation_sizes),
        ("absolute fluctuation", _sizes),
        ("relative fluctuation", _relative_sizes),
    ]
    statement = "the norm of the overall gradient varies more in the long-tailed run than in the balanced run"
    claims = []
    for name, sizes in measures:
        found = [sizes(run.norm("all")) for run in (long_tailed, balanced)]
        effect = _ratio(_between(long_tailed, balanced, found[0], found[1]))
        claims.append(_claim("c, d", "both", statement, f"{name}, long-tailed / balanced", effect, 1.0))
    return claims


def _cause_claims(long_tailed: Run, tail: str) -> list[Claim]:
    overall = long_tailed.norm("all")
    contribution, shares = long_tailed.norm(tail), long_tailed.share(tail)
    # |g - g_tail|^2 = |g|^2 - 2 <g_tail, g> + |g_tail|^2. In a step without tail samples this is the overall gradient itself.
    squared = overall**2 * (1 - 2 * shares) + contribution**2
    without = np.where(np.isnan(contribution), overall, np.sqrt(np.maximum(squared, 0.0)))
    effect = _ratio(mean_interval(_sizes(overall) - _sizes(without)))
    statement = f"in the long-tailed run {tail} enlarges the variance of the overall gradient's norm"
    measure = f"absolute fluctuation, overall / overall without {tail}"
    claims = [_claim("c", "contribution", statement, measure, effect, 1.0)]
    window = fluctuation_window(len(overall))
    for per in CONVENTIONS:
        x, y = (fluctuations(v, window) for v in (overall, long_tailed.norm(tail, per=per)))
        effect = rank_correlation(x, y)
        statement = f"in the long-tailed run the overall gradient's norm rises and falls with that of {tail}"
        claims.append(_claim("c", per, statement, "rank correlation of the fluctuations", effect, 0.0))
    return claims


def _sizes(values: Floats) -> Floats:
    """Returns [T] the logarithms of the absolute fluctuations; NaN where a value is absent or does not fluctuate."""
    return _logarithms(np.abs(fluctuations(values, fluctuation_window(len(values)))), values)


def _relative_sizes(norms: Floats) -> Floats:
    """Returns [T] the logarithms of the absolute relative fluctuations: of the fluctuations of the logarithms of the norms."""
    return _sizes(_logarithms(norms, norms))


def _deviation_sizes(norms: Floats) -> Floats:
    """Returns [T] the logarithms of the absolute deviations from the median of the run."""
    present = norms[np.isfinite(norms)]
    return _logarithms(np.abs(norms - np.median(present)), norms) if len(present) else norms


def _logarithms(sizes: Floats, values: Floats) -> Floats:
    """Returns [T] the logarithms of sizes, NaN where a size is 0 apart from rounding errors.

    Args:
        sizes: [T] sizes.
        values: [T] the values that the sizes were computed from. They set how large rounding errors can be.
    """
    rounding = 1e-12 * np.abs(values[np.isfinite(values)]).max(initial=0.0)
    return np.log(sizes, where=sizes > rounding, out=np.full(len(sizes), np.nan))


def _between(a: Run, b: Run, x: Floats, y: Floats) -> Interval:
    """Returns ``run_difference``. If one run has too few values for an interval, the reason names this run."""
    found = run_difference(a, b, x, y)
    short = [run.name for run, values in ((a, x), (b, y)) if np.isfinite(values).sum() < FEWEST]
    return replace(found, why=f"{short[0]}: {found.why}") if len(short) == 1 else found


def _ratio(logarithm: Interval) -> Interval:
    """Returns the interval of a ratio from the interval of its logarithm. The errors of the logarithm are symmetric."""
    value, low, high = (math.exp(min(x, 700.0)) for x in (logarithm.value, logarithm.low, logarithm.high))
    return replace(logarithm, value=value, low=low, high=high)


def _claim(panel: str, convention: str, statement: str, measure: str, effect: Interval, threshold: float) -> Claim:
    value = effect.value if math.isfinite(effect.value) else None
    if value is None or not effect.measurable:
        return Claim(
            panel, convention, statement, measure, value, None, None, threshold, None, effect.samples, effect.why
        )
    return Claim(
        panel, convention, statement, measure, value, effect.low, effect.high, threshold, effect.verdict(threshold),
        effect.samples,
    )  # fmt: skip
