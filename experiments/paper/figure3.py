"""Figure 3 of the paper: how accuracy depends on the disentanglement point, which is the number C1 of classes in phase I.

    python experiments/paper/figure3.py --data ./data

The paper finds that overall accuracy first rises with C1, then falls. Its rule (classes with at least 20 images) gives C1 = 70
for CIFAR100-LT with imbalance 100.
"""

from __future__ import annotations

import argparse
from typing import Any

from lab import SHOTS, Lab, accuracies, error_bars, look_of, markdown, options, shown

from gradlens.longtail.data.counts import head_size

PAPER = "paper: overall accuracy rises with C1, then falls (Figure 3; no numbers printed)"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options("figure3", __doc__.splitlines()[0])
    parser.add_argument("--points", type=int, nargs="+", help="values of C1; default: 1/10 to 9/10 of the classes")
    return parser.parse_args(arguments)


def table(points: list[dict[str, Any]], rule: int) -> str:
    """Returns the Markdown table."""
    rows = [
        [
            f"C1 = {point['head_classes']}{' (the rule)' if point['head_classes'] == rule else ''}",
            *(shown(point["accuracy"][shot]) if shot in point["accuracy"] else "-" for shot in SHOTS),
        ]
        for point in points
    ]
    return markdown(["", "Many", "Medium", "Few", "Overall"], rows) + f"\nLast epoch, test images. {PAPER}.\n"


def picture(points: list[dict[str, Any]], rule: int) -> Any:
    """Draws the accuracy of each shot against C1."""
    import plotly.graph_objects as go

    figure = go.Figure()
    x = [point["head_classes"] for point in points]
    for shot in SHOTS:
        cells = [point["accuracy"].get(shot) for point in points]
        if all(cells):
            figure.add_scatter(
                x=x, y=[cell["mean"] for cell in cells], name=shot, line=look_of(shot).line, mode="lines+markers",
                error_y=error_bars(cells),
            )  # fmt: skip
    figure.add_vline(rule, line_dash="dot", annotation_text="the paper's rule")
    return figure.update_layout(
        template="plotly_white", xaxis_tickvals=x, xaxis_title="C1, classes of phase I", yaxis_title="top-1 accuracy (%)",
        title="Disentanglement point",
    )  # fmt: skip


def main() -> None:
    """Trains what is missing and writes table and picture."""
    args = parse_arguments()
    lab = Lab(args)
    counts = lab.task().counts
    rule = head_size(counts)
    tenths = {round(len(counts) * tenth / 10) for tenth in range(1, 10)} | {rule}
    points = [
        {
            "head_classes": size,
            "accuracy": accuracies(
                [lab.train("dual-phase", seed, changes={"head_classes": size})[1] for seed in args.seeds]
            ),
        }
        for size in sorted(args.points or tenths)
    ]
    lab.write({"points": points, "rule": rule, "paper": PAPER}, table(points, rule), picture(points, rule))


if __name__ == "__main__":
    main()
