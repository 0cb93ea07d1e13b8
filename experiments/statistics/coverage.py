"""Tests how often intervals and verdicts are right, on simulated series whose true values are known.

    python experiments/statistics/coverage.py [--like RUN]

It writes experiments/results/statistics/coverage.json and coverage.md, with these results:

- For each quantity, process and number of steps: how often an interval is given, how often a given interval covers the true value
  (95 % would be right), and how often, of all series, an interval is given that misses it.
- Bias and coverage of the distortion.
- How often each claim of Figure 1 is supported or contradicted between two runs of the same distribution.
- With --like, intervals of series like recorded ones: their smooth course plus an AR(1) process with the coefficient and the
  innovations of their deviations from it. Also the claims on runs like them, whose deviations are drawn step by step with
  replacement.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.stats import spearmanr

from gradlens import ClassGroups, Run
from gradlens.analysis.figure1_claims import figure1_claims
from gradlens.estimation.intervals import Floats, Interval, difference, mean_interval, paired_difference
from gradlens.estimation.noisy_distance import distance, distance_interval
from gradlens.estimation.rank_correlation import rank_correlation
from gradlens.estimation.smoothing import fluctuations, running_mean

OUT = Path(__file__).parents[1] / "results" / "statistics"
GOAL = (0.92, 0.97)
# If a smaller fraction of the series than this has an interval, the row counts as refused.
REFUSED = 0.05
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


QUANTITIES: dict[str, Callable[[Floats, Floats], Interval]] = {
    "mean": means, "difference of two runs": differences, "difference in pairs": pairs,
    "ratio of fluctuations": ratios, "rank correlation": correlations,
}  # fmt: skip


def counted(found: list[Interval], truth: float) -> dict[str, Any]:
    """Returns how often intervals are given, how often given ones cover the truth, and how often one is given that misses it."""
    given = [i for i in found if i.measurable]
    covers = sum(i.low <= truth <= i.high for i in given)
    return {
        "given": len(given) / len(found),
        "covers of those given": covers / len(given) if given else float("nan"),
        "shown and missed of all": (len(given) - covers) / len(found),
        "holds": _judged(len(found), len(given), covers),
    }


def _judged(series: int, given: int, covers: int) -> str:
    """Returns "yes" if given intervals cover in 92 to 97 % of cases, up to two standard errors of the simulation.

    Else "more" or "less"; "refused" if too few intervals are given.
    """
    if given < REFUSED * series:
        return "refused"
    part, error = covers / given, 2 * np.sqrt(0.05 * 0.95 / given)
    return "less" if part < GOAL[0] - error else "more" if part > GOAL[1] + error else "yes"


def intervals(repeats: int, seed: int) -> list[dict[str, Any]]:
    """Returns a row for each quantity, process and number of steps."""
    rows = []
    for place, (phi, heavy, trend) in enumerate(PROCESSES):
        long = noise(1_000_000, 2, phi, heavy, np.random.default_rng(seed))
        truth = float(spearmanr(long[:, 0], 0.6 * long[:, 0] + 0.8 * long[:, 1]).statistic)
        for steps in STEPS:
            rng = np.random.default_rng([seed, place, steps])
            found: dict[str, list[Interval]] = {name: [] for name in QUANTITIES}
            course = 2 * np.exp(-3 * np.arange(steps) / steps)[:, None] if trend else 0.0
            for _ in range(repeats):
                x, y = (noise(steps, 2, phi, heavy, rng) + course - np.mean(course)).T
                for name, of in QUANTITIES.items():
                    if not (trend and name == "rank correlation"):
                        found[name].append(of(x, y))
            for name, those in found.items():
                if those:
                    row = {"quantity": name, "process": named(phi, heavy, trend), "steps": steps}
                    rows.append(row | counted(those, truth if name == "rank correlation" else 0.0))
        print(named(phi, heavy, trend), flush=True)
    return rows


def distortions(repeats: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows of estimates of the distortion, from shares with a known expectation.

    The noise of a share in a step has the standard deviation 1 / groups.
    """
    rows = []
    for groups in (2, 3, 10, 100):
        fractions = np.full(groups, 1 / groups)
        slope = np.linspace(1, -1, groups) / (0.5 * np.abs(np.linspace(1, -1, groups)).sum())
        for truth in (0.0, 0.05, 0.3):
            for phi in (0.0, 0.5, 0.9):
                for steps in (8, 30, 130, 1000, 5000):
                    rng = np.random.default_rng([seed, groups, int(100 * truth), int(10 * phi), steps])
                    values, plain, level, found = [], [], [], []
                    for _ in range(max(60, min(repeats, repeats * 20_000 // (groups * steps)))):
                        drawn = noise(steps, groups, phi, False, rng) / groups
                        shares = fractions + truth * slope + drawn - drawn.mean(1, keepdims=True)
                        one = distance(shares, fractions)
                        values.append(one.value)
                        level.append(one.noise)
                        plain.append(0.5 * np.abs(shares.mean(0) - fractions).sum())
                        found.append(distance_interval([one]).within(0.0, np.inf))
                    row = {
                        "groups": groups,
                        "truth": truth,
                        "process": f"AR(1) {phi:g}",
                        "steps": steps,
                        "series": len(found),
                    }
                    row |= {"bias": np.mean(values) - truth, "bias of the plug-in": np.mean(plain) - truth}
                    rows.append(row | {"noise level": float(np.mean(level))} | counted(found, truth))
        print(groups, "groups", flush=True)
    return rows


@dataclass(frozen=True)
class Simulated:
    """A simulated run, with the methods that the claims use.

    Attributes:
        name: Name of the run.
        columns: Name -> [T] series.
        groups: The groups.
    """

    name: str
    columns: dict[str, Floats]
    groups: ClassGroups = field(default_factory=lambda: ClassGroups.parse("head=0-6,tail=7-9", 10))

    @property
    def steps(self) -> np.ndarray[Any, Any]:
        """[T] measured steps: every 10th step."""
        return 10 * np.arange(len(self))

    def __len__(self) -> int:
        return len(self.columns["cosine head"])

    def cosine(self, name: str) -> Floats:
        """Returns [T] cosines of a group's gradient with the overall gradient."""
        return self.columns[f"cosine {name}"]

    def share(self, name: str) -> Floats:
        """Returns [T] shares of the update of a group."""
        return self.columns[f"share {name}"]

    def norm(self, name: str, per: str = "contribution") -> Floats:
        """Returns [T] norms of a group's gradient, or of the overall gradient ("all")."""
        return self.columns["norm all" if name == "all" else f"{per} {name}"]


def from_vectors(steps: int, phi: float, heavy: bool, rng: np.random.Generator) -> Simulated:
    """Returns a run with gradients of head and tail in 20 dimensions, whose size falls over the training."""
    size = np.exp(-np.arange(steps) / steps)[:, None] * np.exp(0.3 * noise(steps, 2, phi, heavy, rng))
    directions = noise(steps, 40, 0.0, heavy, rng).reshape(steps, 2, 20) / 5
    directions[..., 0] += 1
    vectors = directions * (size * (1.0, 0.3))[..., None]
    g = vectors.sum(1)
    length = np.linalg.norm(g, axis=1)
    columns = {"norm all": length}
    count = 1 + rng.poisson(3, steps)
    for k, group in enumerate(("head", "tail")):
        own, dot = np.linalg.norm(vectors[:, k], axis=1), (vectors[:, k] * g).sum(1)
        columns |= {
            f"cosine {group}": dot / own / length,
            f"share {group}": dot / length**2,
            f"contribution {group}": own,
        }
        columns[f"mean {group}"] = own * 64 / (count if group == "tail" else 64 - count)
    return Simulated("simulated", columns)


def like(run: Run, rng: np.random.Generator) -> Simulated:
    """Returns a run like a recorded one: its smooth course, plus its deviations. Whole steps are drawn with replacement."""
    names = run.groups.names[0], run.groups.names[-1]
    columns = {"norm all": run.norm("all")}
    for role, name in zip(("head", "tail"), names, strict=True):
        columns |= {f"cosine {role}": run.cosine(name), f"share {role}": run.share(name)}
        columns |= {f"{per} {role}": run.norm(name, per=per) for per in ("contribution", "mean")}
    drawn = rng.integers(0, len(run), len(run))
    window = max(10, len(run) // 20)
    made = {}
    for name, values in columns.items():
        scale = (lambda x: x) if name.startswith(("cosine", "share")) else np.log
        back = (lambda x: x) if name.startswith(("cosine", "share")) else np.exp
        course = running_mean(scale(values), window)
        made[name] = np.asarray(back(course + (scale(values) - course)[drawn]))
    return Simulated("like", made)


def fitted(run: Run, repeats: int, rng: np.random.Generator) -> list[dict[str, Any]]:
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
    for name, values in recorded.items():
        x = values[np.isfinite(values)]
        course = running_mean(x, max(10, len(x) // 20))
        phi = float(np.corrcoef(x[1:] - course[1:], x[:-1] - course[:-1])[0, 1])
        drawn_from = (x - course)[1:] - phi * (x - course)[:-1]
        drawn_from -= drawn_from.mean()
        for steps in (130, 300, len(x)):
            smooth = np.interp(np.linspace(0, len(x) - 1, steps), np.arange(len(x)), course)
            drawn = lfilter([1], [1, -phi], rng.choice(drawn_from, (repeats, steps + 200)))[:, 200:]
            found = [mean_interval(smooth + one) for one in drawn]
            tails = float(((drawn_from / drawn_from.std()) ** 4).mean())
            row = {"like": f"{run.name}: {name}", "AR(1)": phi, "kurtosis": tails, "steps": steps}
            rows.append(row | counted(found, float(smooth.mean())))
    return rows


def verdicts(pairs: int, make: Callable[[], Simulated]) -> list[dict[str, Any]]:
    """Returns rows with the verdicts on pairs of runs of the same distribution.

    A claim that compares both runs is wrong unless it is undecided.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    any_wrong = 0
    for _ in range(pairs):
        claims = figure1_claims(make(), make())  # type: ignore[arg-type]
        both = [claim for claim in claims if "balanced" in claim.measure]
        any_wrong += any(claim.supported is not None for claim in both)
        for claim in claims:
            counts.setdefault((claim.measure, claim.convention), Counter())[
                "no interval" if claim.low is None else claim.verdict
            ] += 1
    rows = [
        {"claim": f"{measure} [{per}]", "two runs": "balanced" in measure}
        | {word: found[word] / pairs for word in ("supported", "contradicted", "undecided", "no interval")}
        for (measure, per), found in counts.items()
    ]
    return [*rows, {"claim": "any of those about two runs", "two runs": True, "wrong": any_wrong / pairs}]


def table(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(_cell(row.get(key, "")) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def tally(rows: list[dict[str, Any]]) -> str:
    """Returns a text that says in how many rows the intervals cover right, more, less, or are refused."""
    counts = Counter(row["holds"] for row in rows)
    return (
        ", ".join(f"{word}: {counts[word]}" for word in ("yes", "more", "less", "refused")) + f" of {len(rows)} rows.\n"
    )


def _cell(value: Any) -> str:
    return ("-" if np.isnan(value) else f"{value:.3f}") if isinstance(value, float) else str(value)


def main() -> None:
    """Runs all simulations and writes both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=400, help="series a row")
    parser.add_argument("--pairs", type=int, default=400, help="pairs of runs for the claims")
    parser.add_argument(
        "--like", type=Path, nargs="*", default=[], help="recorded runs that the claims are also tried on"
    )
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    judged = {
        f"{steps} measured steps, size AR(1) {phi:g}, {'t(3)' if heavy else 'normal'}": verdicts(
            args.pairs, lambda steps=steps, phi=phi, heavy=heavy: from_vectors(steps, phi, heavy, rng)
        )
        for steps, phi, heavy in ((130, 0.0, False), (530, 0.0, True), (530, 0.5, True))
    }
    print("verdicts", flush=True)
    for path in args.like:
        recorded = Run(path)
        judged[f"like the recorded run {recorded.name}, {len(recorded)} measured steps"] = verdicts(
            args.pairs, lambda recorded=recorded: like(recorded, rng)
        )
    found: dict[str, list[dict[str, Any]]] = {
        "fitted": [row for path in args.like for row in fitted(Run(path), args.repeats, rng)],
        "distortion": distortions(args.repeats, args.seed),
        "intervals": intervals(args.repeats, args.seed),
    }
    environment = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    command = ["python", "experiments/statistics/coverage.py", *(Path(a).name if "/" in a else a for a in sys.argv[1:])]
    OUT.mkdir(parents=True, exist_ok=True)
    document = {
        "command": command,
        "seed": args.seed,
        "repeats": args.repeats,
        "pairs": args.pairs,
        "environment": environment,
        "verdicts": judged,
        **found,
    }
    (OUT / "coverage.json").write_text(json.dumps(document, indent=1) + "\n")
    text = [f"Seed {args.seed}, {args.repeats} series a row. {' '.join(command)}\n", HOLDS]
    text += ["## Intervals at 95 %\n", tally(found["intervals"]), table(found["intervals"])]
    if found["fitted"]:
        text += ["\n## Means of series fitted to recorded runs\n", tally(found["fitted"]), table(found["fitted"])]
    text += ["\n## Distortion\n", DISTORTION, tally(found["distortion"]), table(found["distortion"])]
    text += ["\n## Claims of Figure 1 between two runs of one distribution\n", f"{args.pairs} pairs. {NOTE}"]
    for title, rows in judged.items():
        text += [f"\n### {title}\n", table(rows)]
    (OUT / "coverage.md").write_text("\n".join(text) + "\n")


HOLDS = (
    f'The column "holds" says whether the intervals that are given cover the truth in {GOAL[0]:.0%} to {GOAL[1]:.0%} of cases, '
    f"but for two standard errors of the simulation: yes, more, less; refused: fewer than {REFUSED:.0%} of the series get an "
    "interval, the others get the reason why not. Series with a strong trend get more: what is left of it above the lowest "
    "cosine counts as noise.\n"
)
DISTORTION = (
    "Intervals of distortion cover more than 95 % where a group's gap is small against its noise: they are wider by the bound of "
    "the bias that no estimator can take off there. Series in a row: 60 or more, as many as the time allows.\n"
)
NOTE = (
    "For claims about two runs, supported and contradicted are both wrong (5 % together would be right); those about one run may "
    "be true. Verdicts are not corrected for the number of claims: the last row says how often any of them errs."
)

if __name__ == "__main__":
    main()
