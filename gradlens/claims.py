"""The statements of the paper's Figure 1 about a long-tailed and a balanced run, each measured and judged.

Figure 1 shows, over training, the cosine of the head's (grad1) and the tail's (grad2) gradient with the overall gradient (a:
long-tailed, b: balanced), and the norms of the three (c, d). The paper leaves open whether grad1 and grad2 are contributions
to the batch gradient or means over the group's own samples, so every statement about a group's norm is judged under both
conventions. Cosines and the overall gradient are the same under both.

How much a norm fluctuates is measured by its mean absolute fluctuation: norms have heavy tails, and of a variance, which hangs on
a few steps, no interval holds what it says. Every verdict is taken at 95 % for itself; it is not corrected for the number of
claims. How often claims err is in experiments/results/statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from gradlens.intervals import Floats, Interval, interval, mean_interval
from gradlens.pairing import common_rows, head_and_tail, run_difference
from gradlens.rank_correlation import rank_correlation
from gradlens.smoothing import fluctuations

if TYPE_CHECKING:
    from gradlens.runlog import Run

Convention = Literal["contribution", "mean"]
CONVENTIONS: tuple[Convention, ...] = ("contribution", "mean")
# Fluctuation is what a norm does within this share of the measured steps; slower changes count as trend.
WINDOW_SHARE = 20
SMALLEST_WINDOW = 10
VERDICTS = {True: "supported", False: "contradicted", None: "undecided"}


@dataclass(frozen=True)
class Claim:
    """One statement of Figure 1, measured.

    Attributes:
        panel: The panels it is about: "a", "b", "a, b", "c" or "c, d".
        convention: "contribution" or "mean", or "both" where the statement does not depend on it.
        statement: What the paper says, with the groups' names.
        measure: What was computed to judge it.
        effect: The measured value, or None where it cannot be measured.
        low: Lower end of its 95 % interval, or None.
        high: Upper end, or None.
        threshold: The effect that would mean "no difference": 0 for differences and correlations, 1 for ratios.
        supported: True where the whole interval is above the threshold; False where it is below (contradicted); None where
            it holds the threshold, or no interval can be had (see ``note``).
        samples: Measured steps behind it, those of the run that has fewer.
        note: Why it has no interval, or "".
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
    """Measures every statement of Figure 1; the measures of one statement follow each other.

    Args:
        long_tailed: Run on long-tailed data.
        balanced: Run on balanced data, measured with the same groups.
        head: Group that plays grad1; by default "head", else the first group that both runs have.
        tail: Group that plays grad2; by default "tail", else the last one.

    Raises:
        PairError: The runs have fewer than two groups in common, or not the named ones.
    """
    head, tail = head_and_tail(long_tailed, balanced, head, tail)
    return [
        *_cosine_claims(long_tailed, balanced, head, tail),
        *_group_norm_claims(long_tailed, balanced, head, tail),
        *_overall_norm_claims(long_tailed, balanced),
        *_cause_claims(long_tailed, tail),
    ]


def by_statement(claims: Iterable[Claim]) -> list[list[Claim]]:
    """Returns the claims of ``figure1_claims``, those that measure the same statement together."""
    return [list(same) for _, same in groupby(claims, lambda claim: (claim.panel, claim.statement))]


def notes_of(claims: Iterable[Claim]) -> list[str]:
    """Returns the reasons why claims have no interval, each once: many claims have the same."""
    return list(dict.fromkeys(claim.note for claim in claims if claim.note))


def window_of(steps: int) -> int:
    """Returns the number of neighbouring measured steps whose mean is the local level of a norm."""
    return max(SMALLEST_WINDOW, steps // WINDOW_SHARE)


def _cosine_claims(long_tailed: Run, balanced: Run, head: str, tail: str) -> list[Claim]:
    heads = [run.cosine(head) for run in (long_tailed, balanced)]
    tails = [run.cosine(tail) for run in (long_tailed, balanced)]
    gaps = [h - t for h, t in zip(heads, tails, strict=True)]
    found = [
        ("a", f"in the long-tailed run the overall gradient is closer to {head} than to {tail}",
         f"cos({head}) - cos({tail})", mean_interval(gaps[0])),
        ("a", f"in the long-tailed run the overall gradient is shifted towards {head}, compared with the balanced run",
         f"cos({head}), long-tailed - balanced", run_difference(long_tailed, balanced, *heads)),
        ("b", f"in the balanced run the overall gradient stays closer to {tail} than in the long-tailed run",
         f"cos({tail}), balanced - long-tailed", run_difference(balanced, long_tailed, tails[1], tails[0])),
        ("a, b", f"the gap between {head} and {tail} is wider in the long-tailed run",
         f"cos({head}) - cos({tail}), long-tailed - balanced", run_difference(long_tailed, balanced, *gaps)),
    ]  # fmt: skip
    return [_claim(panel, "both", statement, measure, effect, 0.0) for panel, statement, measure, effect in found]


def _group_norm_claims(long_tailed: Run, balanced: Run, head: str, tail: str) -> list[Claim]:
    statement = f"in the long-tailed run the norm of {tail} fluctuates more than that of {head}"
    within = []
    for per in CONVENTIONS:
        columns = [_columns(long_tailed.norm(group, per=per)) for group in (tail, head)]
        effect = _ratio([np.concatenate(columns, axis=1)], _log_relative)  # [T, 6], same steps
        within.append(_claim("c", per, statement, f"relative fluctuation, {tail} / {head}", effect, 1.0))
    statement = f"the norm of {tail} fluctuates more in the long-tailed run than in the balanced run"
    measure = f"relative fluctuation of {tail}, long-tailed / balanced"
    between = []
    for per in CONVENTIONS:
        tails = [_columns(run.norm(tail, per=per)) for run in (long_tailed, balanced)]
        effect = _ratio(tails, _log_relative)
        between.append(_claim("c, d", per, statement, measure, effect, 1.0))
    return within + between


def _overall_norm_claims(long_tailed: Run, balanced: Run) -> list[Claim]:
    columns = [_columns(run.norm("all")) for run in (long_tailed, balanced)]
    rows = common_rows(long_tailed, balanced)
    if rows is not None:  # step by step: the trend of training, which both have, cancels
        columns = [np.concatenate([column[chosen] for column, chosen in zip(columns, rows, strict=True)], axis=1)]
    measures: list[tuple[str, Callable[[Floats], Floats]]] = [
        ("mean absolute deviation over the whole run", lambda m: np.log(m[2])),
        ("mean absolute fluctuation", lambda m: np.log(m[1])),
        ("relative fluctuation", _log_relative),
    ]
    statement = "the norm of the overall gradient varies more in the long-tailed run than in the balanced run"
    claims = []
    for name, logarithm in measures:
        effect = _ratio(columns, logarithm)
        claims.append(_claim("c, d", "both", statement, f"{name}, long-tailed / balanced", effect, 1.0))
    return claims


def _cause_claims(long_tailed: Run, tail: str) -> list[Claim]:
    overall = long_tailed.norm("all")
    contribution, shares = long_tailed.norm(tail), long_tailed.share(tail)
    # |g - g_tail|^2 = |g|^2 - 2 <g_tail, g> + |g_tail|^2; without tail samples the overall gradient itself.
    squared = overall**2 * (1 - 2 * shares) + contribution**2
    without = np.where(np.isnan(contribution), overall, np.sqrt(np.maximum(squared, 0.0)))
    both = np.concatenate([_columns(overall), _columns(without)], axis=1)
    effect = _ratio([both], lambda m: np.log(m[1]))
    statement = f"in the long-tailed run {tail} enlarges the variance of the overall gradient's norm"
    measure = f"mean absolute fluctuation, overall / overall without {tail}"
    claims = [_claim("c", "contribution", statement, measure, effect, 1.0)]
    window = window_of(len(overall))
    for per in CONVENTIONS:
        x, y = (fluctuations(v, window) for v in (overall, long_tailed.norm(tail, per=per)))
        effect = rank_correlation(x, y)
        statement = f"in the long-tailed run the overall gradient's norm rises and falls with that of {tail}"
        claims.append(_claim("c", per, statement, "rank correlation of the fluctuations", effect, 0.0))
    return claims


def _columns(norms: Floats) -> Floats:
    """Returns [T, 3]: the values, their absolute fluctuations, their absolute deviations from the mean of the run."""
    present = norms[np.isfinite(norms)]
    level = present.mean() if len(present) else math.nan
    return np.stack([norms, np.abs(fluctuations(norms, window_of(len(norms)))), np.abs(norms - level)], axis=1)


def _log_relative(means: Floats) -> Floats:
    """Returns the logarithm of fluctuation / level from the means [3] of ``_columns``."""
    return np.asarray(np.log(means[1]) - np.log(means[0]))


def _ratio(runs: list[Floats], logarithm: Callable[[Floats], Floats]) -> Interval:
    """Returns the interval of a ratio of two runs, made on its logarithm, where errors are symmetric.

    Args:
        runs: The ``_columns`` of both runs; or [T, 6], those of both of the same steps.
        logarithm: Takes the means [3], returns the logarithm of what is compared.
    """

    def log_ratio(means: list[Floats]) -> Floats:
        first, second = means if len(means) == 2 else (means[0][:3], means[0][3:])
        return logarithm(first) - logarithm(second)

    found = interval(runs, log_ratio)
    value, low, high = (math.exp(min(x, 700.0)) for x in (found.value, found.low, found.high))
    return replace(found, value=value, low=low, high=high)


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
