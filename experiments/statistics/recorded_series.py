"""Simulates series like recorded ones, and tests how often intervals of their means cover the truth.

A recorded series is taken for a smooth course plus an AR(1) process. The course must follow the start of the training, where most
changes, and it must hold little of the noise. Otherwise the noise counts twice in simulated series: as noise, and as a part of
the course, which the interval must take for noise. A mean over a fixed window does both wrong (correlated errors: Altman 1990;
Opsomer, Wang and Yang 2001). ``tried`` shows what each course does, on records whose true course is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from counts import counted, twice
from scipy.signal import lfilter

from gradlens import Run
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import Floats, mean_interval
from gradlens.estimation.smoothing import running_mean

# A line is fitted to the steps from half to one and a half times of each step, and at least to so many before and after it.
LEAST = 3
# The steps of the recorded runs of Figure 1; the records whose course is known have as many.
LENGTH = 1275


def smooth_course(values: Floats) -> Floats:
    """Returns [T] the smooth course of a series, whose values may be NaN.

    At each step it is a line that is fitted to the steps around it, from half to one and a half times of the step. So the course
    may change within a few steps at the start, and only slowly later on.
    """
    at = np.arange(len(values), dtype=np.float64)
    reach = np.maximum(at // 2, LEAST).astype(int)
    first = np.maximum(np.arange(len(at)) - reach, 0)
    stop = np.minimum(np.arange(len(at)) + reach + 1, len(at))
    columns = np.stack([np.ones(len(at)), at, at * at, values, at * values])
    columns[:, ~np.isfinite(values)] = 0.0
    sums = np.concatenate([np.zeros((5, 1)), np.cumsum(columns, axis=1)], axis=1)
    count, step, squared, value, product = sums[:, stop] - sums[:, first]
    slope = (count * product - step * value) / (count * squared - step * step)
    return np.asarray(value / count + slope * (at - step / count))


def mean_course(values: Floats) -> Floats:
    """Returns [T] the mean over a window of a twentieth of the series."""
    return running_mean(values, max(10, len(values) // 20))


@dataclass(frozen=True)
class Fitted:
    """A course [T], and the AR(1) coefficient and innovations [T - 1] of the deviations from it."""

    course: Floats
    phi: float
    innovations: Floats

    @classmethod
    def to(cls, x: Floats, course: Floats) -> Fitted:
        """Fits to a series and its course."""
        rest = x - course
        phi = float(np.corrcoef(rest[1:], rest[:-1])[0, 1])
        innovations = rest[1:] - phi * rest[:-1]
        return cls(course, phi, innovations - innovations.mean())

    def intervals(self, steps: int, repeats: int, rng: np.random.Generator) -> tuple[list[Interval], float]:
        """Returns intervals of the means of simulated series, and the true mean."""
        last = len(self.course) - 1
        course = np.interp(np.linspace(0, last, steps), np.arange(last + 1), self.course)
        drawn = lfilter([1], [1, -self.phi], rng.choice(self.innovations, (repeats, steps + 200)))[:, 200:]
        return [mean_interval(course + one) for one in drawn], float(course.mean())


def fitted(run: Run, repeats: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows for the interval of the mean of series that are fitted to a recorded run, at its length and shorter."""
    head, tail = run.groups.names[0], run.groups.names[-1]
    recorded = {
        f"cosine of {tail}": run.cosine(tail),
        f"share of {tail}": run.share(tail),
        f"cosine of {head} less that of {tail}": run.cosine(head) - run.cosine(tail),
        "norm of the gradient": run.norm("all"),
        f"mean gradient's norm of {tail}": run.norm(tail, per="mean"),
    }
    rows = []
    for place, (name, values) in enumerate(recorded.items()):
        x = values[np.isfinite(values)]
        model = Fitted.to(x, smooth_course(x))
        tails = float(((model.innovations / model.innovations.std()) ** 4).mean())
        for steps in (130, 300, len(x)):
            named = {"like": f"{run.name}: {name}", "AR(1)": model.phi, "kurtosis": tails, "steps": steps}

            def count(
                repeats: int,
                seed: int,
                model: Fitted = model,
                steps: int = steps,
                place: int = place,
                named: Any = named,
            ) -> dict[str, Any]:
                rng = np.random.default_rng([seed, len(run), place, steps])
                return named | counted(*model.intervals(steps, repeats, rng))

            rows.append(twice(count(repeats, seed), lambda count=count: count(10 * repeats, seed + 1000)))
    return rows


def tried(repeats: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows that show what the course of a fit does to coverage, on AR(1) records whose true course is known.

    The course is none, or a start like that of a gradient's norm. Series are simulated from the true course, and from fits to 20
    records with either kind of course.
    """
    step = np.arange(LENGTH)
    start = 9 * np.exp(-step / 7) + 0.4 + step / LENGTH
    courses: dict[str, Callable[[Floats], Floats]] = {
        "mean over a window of T / 20": mean_course, "line from t / 2 to 3 t / 2": smooth_course,
    }  # fmt: skip
    rows = []
    for named, course in (("none", np.zeros(LENGTH)), ("a start", start)):
        for phi in (0.0, 0.3, 0.6, 0.9):
            rng = np.random.default_rng([seed, int(10 * phi)])
            row: dict[str, Any] = {"true course": named, "AR(1)": phi}
            of = Fitted(course, phi, 0.3 * rng.standard_normal(100_000))
            row["covers with the true course"] = counted(*of.intervals(LENGTH, repeats, rng))["covers of those given"]
            records = course + lfilter([1], [1, -phi], 0.3 * rng.standard_normal((20, LENGTH + 200)))[:, 200:]
            for title, find in courses.items():
                given = covers = 0.0
                fits = [Fitted.to(record, find(record)) for record in records]
                for fit in fits:
                    found = counted(*fit.intervals(LENGTH, repeats // 20, rng))
                    given += found["given"]
                    covers += found["given"] - found["shown and missed of all"]
                row[f"covers, course: {title}"] = covers / given if given else float("nan")
                row[f"AR(1) found, course: {title}"] = float(np.mean([fit.phi for fit in fits]))
            rows.append(row)
    return rows
