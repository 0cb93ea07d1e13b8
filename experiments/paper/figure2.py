"""Figure 2 of the paper: how accuracy depends on the size of the memory (a) and on lambda, the retention weight (b).

    python experiments/paper/figure2.py --data ./data

The paper uses Places-LT. The default here is CIFAR100-LT, whose lambda is sqrt(70 / 30) = 1.53. Phase I depends on neither
setting. So it is trained once for each seed, and every phase II starts from its end, bit for bit as if both had been trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lab import SHOTS, Lab, accuracies, error_bars, look_of, markdown, options, shown

from gradlens.longtail.methods import find_method
from gradlens.longtail.recipe.settings import parse_assignments
from gradlens.longtail.training.checkpoint import phase_file

# The numbers that the paper's text gives for Figure 2 (a) and (b), on Places-LT.
PAPER = "paper (Places-LT): overall 39.4-39.8 over the memory sizes, best at 10; lambda best at 2.03, flat below"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options("figure2", __doc__.splitlines()[0])
    parser.add_argument("--memories", type=int, nargs="*", default=[2, 6, 10, 14, 18, 20])
    parser.add_argument(
        "--multiples",
        type=float,
        nargs="*",
        default=[0, 0.25, 0.5, 1, 2, 5],
        help="values of lambda, as multiples of the default",
    )
    parser.add_argument(
        "--phase-one", type=Path, nargs="+", default=[], metavar="RUN",
        help="for each seed the folder of a dual-phase training (e.g. of distortion.py) whose phase I is shared",
    )  # fmt: skip
    return parser.parse_args(arguments)


def sweep(
    lab: Lab, setting: str, values: list[Any], default: Any, seeds: list[int], sources: dict[int, Path]
) -> list[dict[str, Any]]:
    """Trains the dual-phase method for each value of a setting.

    Args:
        lab: Runs the trainings.
        setting: A setting that phase I does not depend on.
        values: Values of the setting.
        default: Default value. Its trainings change no setting, so sweeps of several settings share them.
        seeds: Seeds of the trainings of each value.
        sources: Seed -> folder of a training whose phase I is shared. If a seed has none, its first training is added.
    """
    points = []
    for value in values:
        changes = {} if value == default else {setting: value}
        results = []
        for seed in seeds:
            folder, result = lab.train("dual-phase", seed, changes=changes, branch_from=sources.get(seed))
            if (folder / phase_file(0)).exists():
                sources.setdefault(seed, folder)
            results.append(result)
        points.append({"setting": setting, "value": value, "accuracy": accuracies(results)})
    return points


def table(points: list[dict[str, Any]]) -> str:
    """Returns the Markdown table."""
    rows = [
        [
            f"{point['setting']} = {point['value']:.4g}",
            *(shown(point["accuracy"][shot]) if shot in point["accuracy"] else "-" for shot in SHOTS),
        ]
        for point in points
    ]
    return markdown(["", "Many", "Medium", "Few", "Overall"], rows) + f"\nLast epoch, test images. {PAPER}.\n"


def picture(points: list[dict[str, Any]]) -> Any:
    """Draws two panels: accuracy of each shot against memory size and against lambda."""
    from plotly.subplots import make_subplots

    titles = {"memory": "(a) exemplars of each class", "retention_weight": "(b) lambda"}
    figure = make_subplots(1, 2, subplot_titles=list(titles.values()), shared_yaxes=True)
    for column, setting in enumerate(titles, start=1):
        own = [point for point in points if point["setting"] == setting]
        for shot in SHOTS:
            cells = [point["accuracy"].get(shot) for point in own]
            if all(cells) and own:
                figure.add_scatter(
                    x=[point["value"] for point in own], y=[cell["mean"] for cell in cells], name=shot,
                    error_y=error_bars(cells),
                    line=look_of(shot).line, showlegend=column == 1, mode="lines+markers", row=1, col=column,
                )  # fmt: skip
    sizes = sorted({point["value"] for point in points if point["setting"] == "memory"})
    figure.update_xaxes(tickvals=sizes, col=1)  # numbers of images have no halves
    return figure.update_layout(template="plotly_white", yaxis_title="top-1 accuracy (%)", title="Dual-phase ablations")


def main() -> None:
    """Trains what is missing and writes table and picture."""
    args = parse_arguments()
    if args.phase_one and len(args.phase_one) != len(args.seeds):
        raise SystemExit(f"figure2.py: --phase-one names {len(args.phase_one)} runs for {len(args.seeds)} seeds")
    lab = Lab(args)
    sources = dict(zip(args.seeds, args.phase_one, strict=False))
    defaults = find_method("dual-phase").on(lab.task(), parse_assignments(args.set)).settings
    weight = defaults["retention_weight"]
    # The default is not rounded. A rounded value would be another training.
    weights = [weight if multiple == 1 else round(weight * multiple, 4) for multiple in args.multiples]
    points = [
        point
        for setting, values in (("memory", args.memories), ("retention_weight", weights))
        for point in sweep(lab, setting, values, defaults[setting], args.seeds, sources)
    ]
    lab.write({"points": points, "paper": PAPER}, table(points), picture(points))


if __name__ == "__main__":
    main()
