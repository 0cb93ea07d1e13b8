"""Simulates series whose mean, difference, ratio and correlation are known, and tests how often intervals cover these."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from counts import FEW, REFUSED, counted, twice
from scipy.signal import lfilter
from scipy.stats import spearmanr

from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import Floats, difference, mean_interval, paired_difference
from gradlens.estimation.noisy_distance import distance, distance_interval
from gradlens.estimation.rank_correlation import rank_correlation
from gradlens.estimation.smoothing import fluctuations

STEPS = (12, 30, 60, 130, 300, 1000, 5000)
PROCESSES = [(phi, heavy, False) for phi in (0.0, 0.5, 0.9) for heavy in (False, True)] + [(0.5, False, True)]


def noise(steps: int, columns: int, phi: float, heavy: bool, rng: np.random.Generator) -> Floats:
    """Returns [steps, columns] stationary AR(1) series with unit variance.

    Args:
        steps: Length of the series.
        columns: Number of independent series.
        phi: Coefficient of the process.
        heavy: True for innovations from a t distribution with 3 degrees of freedom; False for normal ones.
        rng: Generator.
    """
    shape = (steps + 200, columns)
    drawn = rng.standard_t(3, shape) / np.sqrt(3) if heavy else rng.standard_normal(shape)
    return np.asarray(lfilter([1], [1, -phi], drawn, axis=0)[200:] * np.sqrt(1 - phi**2))


def named(phi: float, heavy: bool, trend: bool) -> str:
    """Returns the name of a process."""
    return f"AR(1) {phi:g}, {'t(3)' if heavy else 'normal'}{', trend' if trend else ''}"


def means(x: Floats, _: Floats) -> Interval:
    """Returns the interval of the mean of a series; the true value is 0."""
    return mean_interval(x)


def differences(x: Floats, y: Floats) -> Interval:
    """Returns the interval of the difference of the means of two runs; the true value is 0."""
    return difference(x, y)


def ratios(x: Floats, y: Floats) -> Interval:
    """Returns the interval of the log ratio of the fluctuations of two runs ("fluctuates more"); the true value is 0."""
    window = max(10, len(x) // 20)
    return difference(*(np.log(np.abs(fluctuations(of, window))) for of in (x, y)))


def correlations(x: Floats, y: Floats) -> Interval:
    """Returns the interval of the rank correlation of x with 0.6 x + 0.8 y; a long series gives the true value."""
    return rank_correlation(x, 0.6 * x + 0.8 * y)


def pairs(x: Floats, y: Floats) -> Interval:
    """Returns the interval of the difference of the means of two series of the same steps; the true value is 0."""
    return paired_difference(x, y)


ESTIMATES: dict[str, Callable[[Floats, Floats], Interval]] = {
    "mean": means, "difference of two runs": differences, "difference in pairs": pairs,
    "ratio of fluctuations": ratios, "rank correlation": correlations,
}  # fmt: skip


def intervals(repeats: int, seed: int) -> list[dict[str, Any]]:
    """Returns a row for each quantity, process and number of steps."""
    rows = []
    for phi, heavy, trend in PROCESSES:
        names = tuple(name for name in ESTIMATES if not (trend and name == "rank correlation"))
        for steps in STEPS:
            found = _intervals(names, phi, heavy, trend, steps, repeats, seed)
            for name, row in found.items():
                again = (name,), phi, heavy, trend, steps
                rows.append(
                    twice(row, lambda name=name, again=again: _intervals(*again, 10 * repeats, seed + 1000)[name])
                )
        print(named(phi, heavy, trend), flush=True)
    return rows


def _intervals(
    names: tuple[str, ...], phi: float, heavy: bool, trend: bool, steps: int, repeats: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Returns a row for each of the named quantities, of the same simulated series."""
    rng = np.random.default_rng([seed, PROCESSES.index((phi, heavy, trend)), steps])
    course = 2 * np.exp(-3 * np.arange(steps) / steps)[:, None] if trend else 0.0
    made = (noise(steps, 2, phi, heavy, rng) + course - np.mean(course) for _ in iter(int, 1))
    found: dict[str, list[Interval]] = {name: [] for name in names}
    for _, both in zip(range(repeats), made, strict=False):
        for name in names:
            found[name].append(ESTIMATES[name](*both.T))
    rows = {}
    for name, those in found.items():
        if REFUSED * repeats <= sum(i.measurable for i in those) < FEW:
            those += [ESTIMATES[name](*both.T) for _, both in zip(range(9 * repeats), made, strict=False)]
        truth = true_correlation(phi, heavy, seed) if name == "rank correlation" else 0.0
        row = {"quantity": name, "process": named(phi, heavy, trend), "steps": steps}
        rows[name] = row | counted(those, truth)
    return rows


@cache
def true_correlation(phi: float, heavy: bool, seed: int) -> float:
    """Returns the rank correlation of x with 0.6 x + 0.8 y, of a series of 1,000,000 steps."""
    x, y = noise(1_000_000, 2, phi, heavy, np.random.default_rng(seed)).T
    return float(spearmanr(x, 0.6 * x + 0.8 * y).statistic)


def distortions(repeats: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows of estimates of the distortion, from shares with a known expectation."""
    rows = []
    for groups in (2, 3, 10, 100):
        for truth in (0.0, 0.05, 0.3):
            for phi in (0.0, 0.5, 0.9):
                for steps in (8, 30, 130, 1000, 5000):
                    of = groups, truth, phi, steps
                    row = distortion(*of, repeats, seed)
                    rows.append(twice(row, lambda of=of: distortion(*of, 10 * repeats, seed + 1000)))
        print(groups, "groups", flush=True)
    return rows


def distortion(groups: int, truth: float, phi: float, steps: int, repeats: int, seed: int) -> dict[str, Any]:
    """Returns a row of estimates of one distortion.

    The noise of a share in a step has the standard deviation 1 / groups.
    """
    fractions = np.full(groups, 1 / groups)
    slope = np.linspace(1, -1, groups) / (0.5 * np.abs(np.linspace(1, -1, groups)).sum())
    rng = np.random.default_rng([seed, groups, int(100 * truth), int(10 * phi), steps])
    values, plain, level, found = [], [], [], []
    for _ in range(max(60, min(repeats, repeats * 40_000 // (groups * steps)))):
        drawn = noise(steps, groups, phi, False, rng) / groups
        shares = fractions + truth * slope + drawn - drawn.mean(1, keepdims=True)
        one = distance(shares, fractions)
        values.append(one.value)
        level.append(one.noise)
        plain.append(0.5 * np.abs(shares.mean(0) - fractions).sum())
        found.append(distance_interval([one]).within(0.0, np.inf))
    row = {"groups": groups, "truth": truth, "process": f"AR(1) {phi:g}", "steps": steps, "series": len(found)}
    row |= {"bias": np.mean(values) - truth, "bias of the plug-in": np.mean(plain) - truth}
    return row | {"noise level": float(np.mean(level))} | counted(found, truth)
