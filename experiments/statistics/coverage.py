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
- What the way to find that smooth course does to coverage, on records whose true course is known.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from counts import FEW, GOAL, REFUSED, table, tally
from recorded_series import fitted, tried
from simulated_runs import from_vectors, like, verdicts
from simulated_series import distortions, intervals

from gradlens import Run

OUT = Path(__file__).parents[1] / "results" / "statistics"

HOLDS = (
    f'The column "holds" says whether the intervals that are given cover the truth in {GOAL[0]:.0%} to {GOAL[1]:.0%} of cases, '
    f"but for two standard errors of the simulation: yes, more, less; refused: fewer than {REFUSED:.0%} of the series get an "
    f"interval, the others get the reason why not. A row with fewer than {FEW} intervals of series has ten times as many "
    "series. One row in many covers more or less by chance. So each such row is counted a second time, with other seeds and ten "
    "times as many series.\n"
)
FITTED = (
    "The smooth course of a recorded series is a line at each step, fitted to the steps from half to one and a half times of it. "
    "It follows the start of the training, and holds little of the noise (next table). Slower changes than that, such as those "
    "of the learning rate, count as noise: one run does not show whether they would come again (Poetscher 2002).\n"
)
TRIED = (
    "AR(1) records whose true course is known: none, or a start like that of a gradient's norm. A mean over a twentieth of the "
    "series holds so much of the noise that intervals of slow series cover more. It does not follow the start, which then counts "
    "as noise: the coefficient of the process is found far too large.\n"
)
DISTORTION = (
    "There is no interval where the bias of noise, known only within a bound, is large against the standard error: for many "
    "groups near their fractions. Series in a row: 60 or more, as many as the time allows.\n"
)
NOTE = (
    "For claims about two runs, supported and contradicted are both wrong (5 % together would be right); those about one run may "
    "be true. Verdicts are not corrected for the number of claims: the last row says how often any of them errs."
)


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
        made = like(recorded)
        judged[f"like the recorded run {recorded.name}, {len(recorded)} measured steps"] = verdicts(
            args.pairs, lambda made=made: made(rng)
        )
    found: dict[str, list[dict[str, Any]]] = {
        "fitted": [row for path in args.like for row in fitted(Run(path), args.repeats, args.seed)],
        "tried": tried(args.repeats, args.seed),
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
        text += [
            "\n## Means of series fitted to recorded runs\n",
            FITTED,
            tally(found["fitted"]),
            table(found["fitted"]),
        ]
    text += ["\n## The smooth course of a fit\n", TRIED, table(found["tried"])]
    text += ["\n## Distortion\n", DISTORTION, tally(found["distortion"]), table(found["distortion"])]
    text += ["\n## Claims of Figure 1 between two runs of one distribution\n", f"{args.pairs} pairs. {NOTE}"]
    for title, rows in judged.items():
        text += [f"\n### {title}\n", table(rows)]
    (OUT / "coverage.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
