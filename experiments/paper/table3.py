"""Table 3 of the paper: CIFAR100-LT with imbalance 50, 100 and 200, each method over several seeds.

    python experiments/paper/table3.py --data ./data --seeds 0 1 2

It writes accuracies (mean and standard deviation over the seeds, last and best epoch) beside the paper's numbers. Finished
trainings are not repeated, and interrupted ones are resumed, so the script can be started again at any time.
"""

from __future__ import annotations

import argparse
from typing import Any

from lab import Lab, accuracies, error_bars, markdown, options, shown

# Table 3: method -> top-1 accuracy by imbalance. "plain" has no definition in the paper, plain-2t no number.
PAPER: dict[str, dict[int, float]] = {
    "ce": {200: 35.63, 100: 38.32, 50: 43.85},
    "plain": {200: 39.35, 100: 42.48, 50: 47.61},
    "dual-phase": {200: 40.53, 100: 44.79, 50: 49.32},
}
METHODS = ("ce", "plain", "plain-2t", "dual-phase")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options("table3", __doc__.splitlines()[0])
    parser.add_argument("--imbalances", type=float, nargs="+", default=[50, 100, 200])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    return parser.parse_args(arguments)


def table(cells: list[dict[str, Any]]) -> str:
    """Returns the Markdown table."""
    header = ["imbalance, method", "seeds", "Many", "Medium", "Few", "Overall (last)", "Overall (best)", "paper"]
    rows = []
    for cell in cells:
        paper = cell["paper"]
        found = cell["accuracy"]
        rows.append(
            [
                f"{cell['imbalance']:g}, {cell['method']}",
                str(len(cell["seeds"])),
                *(shown(found[shot]) if shot in found else "-" for shot in ("many", "medium", "few", "overall")),
                shown(found["best_epoch"]),
                "-" if paper is None else f"{paper:.2f}",
            ]
        )
    note = (
        "\nTop-1 accuracy in percent on the test images, mean +- standard deviation over the seeds. The best epoch is chosen "
        "on those very images, as the literature does; compare the last one.\n"
    )
    return markdown(header, rows) + note


def picture(cells: list[dict[str, Any]]) -> Any:
    """Draws overall accuracies as bars with their spread, and the paper's as crosses."""
    import plotly.graph_objects as go

    from gradlens.figures import LIGHT, style_of

    figure = go.Figure()
    for method in dict.fromkeys(cell["method"] for cell in cells):
        own = [cell for cell in cells if cell["method"] == method]
        x = [f"imbalance {cell['imbalance']:g}" for cell in own]
        overall = [cell["accuracy"]["overall"] for cell in own]
        style = style_of("method", method, LIGHT)
        figure.add_bar(
            x=x,
            y=[value["mean"] for value in overall],
            name=method,
            error_y=error_bars(overall),
            offsetgroup=method,
            marker={"color": style.color, "pattern": {"shape": style.pattern}},
        )
        paper = [cell["paper"] for cell in own]
        if any(paper):
            marker = {"symbol": "x", "color": "black", "size": 9}
            figure.add_scatter(
                x=x,
                y=paper,
                mode="markers",
                marker=marker,
                name=f"{method}, paper",
                offsetgroup=method,
                showlegend=False,
            )
    return figure.update_layout(
        template="plotly_white", barmode="group", scattermode="group", yaxis_title="top-1 accuracy (%)",
        title="Long-tailed accuracy: our trainings (bars) and the paper's numbers (crosses)",
    )  # fmt: skip


def main() -> None:
    """Trains what is missing and writes the table after each cell."""
    args = parse_arguments()
    lab = Lab(args)
    cells: list[dict[str, Any]] = []
    for imbalance in args.imbalances:
        for method in args.methods:
            results = [lab.train(method, seed, imbalance=imbalance)[1] for seed in args.seeds]
            cells.append(
                {
                    "imbalance": imbalance,
                    "method": method,
                    "seeds": list(args.seeds),
                    "accuracy": accuracies(results),
                    "paper": PAPER.get(method, {}).get(int(imbalance)) if args.dataset == "cifar100-lt" else None,
                    "settings": results[0]["settings"],
                    "phases": results[0]["phases"],
                    "steps": results[0]["steps"],
                    "subset": results[0]["subset"],
                }
            )
            lab.write({"cells": cells}, table(cells), picture(cells))


if __name__ == "__main__":
    main()
