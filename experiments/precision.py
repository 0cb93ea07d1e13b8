"""Compares the accuracy of trainings in bfloat16 and in float32, which share seeds: the difference with its interval.

    python experiments/precision.py --data ./data --seeds 0 1 2

Finished trainings are not repeated, and interrupted ones are resumed. To train side by side, start it once for each precision
(`--precisions float32`, `--precisions bfloat16`), and once more at the end for the comparison.
"""

from __future__ import annotations

import argparse
import sys
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "paper"))

from lab import SHOTS, Lab, accuracies, markdown, options, shown

from gradlens.estimation.student import t_quantile
from gradlens.longtail.networks.computing import PRECISIONS

LEVEL = 0.95


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options("precision", __doc__.splitlines()[0], epochs=30)
    parser.add_argument("--imbalance", type=float, default=100)
    parser.add_argument("--method", default="ce")
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=list(PRECISIONS))
    return parser.parse_args(arguments)


def difference(bfloat16: list[float], float32: list[float]) -> dict[str, float]:
    """Returns the mean difference of paired values, with its 95 % interval by Student's t.

    Args:
        bfloat16: A value for each seed; at least two.
        float32: The values of the same seeds.
    """
    pairs = [a - b for a, b in zip(bfloat16, float32, strict=True)]
    half = t_quantile((1 + LEVEL) / 2, len(pairs) - 1) * stdev(pairs) / sqrt(len(pairs))
    return {"mean": fmean(pairs), "low": fmean(pairs) - half, "high": fmean(pairs) + half}


def main() -> None:
    """Trains what is missing. If both precisions are named, writes the table."""
    args = parse_arguments()
    lab = Lab(args)
    found: dict[str, dict[str, Any]] = {}
    for seed in args.seeds:
        for precision in args.precisions:
            changes = {"precision": precision}
            lab.train(args.method, seed, imbalance=args.imbalance, changes=changes)
    if set(args.precisions) != set(PRECISIONS):
        return
    for precision in PRECISIONS:
        changes = {"precision": precision}
        results = [lab.train(args.method, seed, imbalance=args.imbalance, changes=changes)[1] for seed in args.seeds]
        found[precision] = {
            "accuracy": accuracies(results),
            "seconds_training": [result["seconds_training"] for result in results],
        }
    shots = [shot for shot in SHOTS if shot in found["float32"]["accuracy"]]
    rows = [[precision, *(shown(found[precision]["accuracy"][shot]) for shot in shots)] for precision in PRECISIONS]
    apart = {}
    if len(args.seeds) > 1:
        values = {p: found[p]["accuracy"] for p in PRECISIONS}
        apart = {shot: difference(*(values[p][shot]["values"] for p in ("bfloat16", "float32"))) for shot in shots}
        rows.append(["difference", *(f"{d['mean']:+.2f} [{d['low']:.2f}, {d['high']:.2f}]" for d in apart.values())])
    note = (
        "\nTop-1 accuracy of the last epoch in percent, mean +- standard deviation over the seeds; the difference bfloat16 - "
        "float32 of the same seeds with its 95 % interval.\n"
    )
    table = markdown([f"{args.method}, imbalance {args.imbalance:g}", *shots], rows) + note
    lab.write({"precisions": found, "difference": apart}, table)


if __name__ == "__main__":
    main()
