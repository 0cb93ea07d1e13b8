"""Table 3 of the paper: CIFAR100-LT with imbalance 50, 100 and 200, each method over several seeds.

    python experiments/paper/table3.py --data ./data --seeds 0 1 2
    python experiments/paper/table3.py --queue --data ./data          # every training at the paper's length, for days
    python experiments/paper/table3.py --queue --list

It writes accuracies (mean and standard deviation over the seeds, last and best epoch) beside the paper's numbers. Finished
trainings are not repeated, and interrupted ones are resumed, so the script can be started again at any time.

The queue runs what is missing in processes of one thread, the most wanted first, and writes the results after each training.
It may be cut in any way. Several queues may share the folder of the runs: no training runs twice.

The paper trains `plain` and `dual-phase` with the recipe of its Appendix A, and copies the other numbers from papers that trained
in other ways. So each method is trained with the paper's recipe, for a comparison of methods, and those that have a recipe of
their own also with that one, for a comparison with their number.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from lab import Lab, accuracies, error_bars, markdown, options, shown
from locks import locked
from queue_of_trainings import Queue
from wanted import IMBALANCES, ORDER, SEEDS, Wanted, progress, result, state, wanted

# Table 3: method -> top-1 accuracy by imbalance. "plain" has no definition in the paper, plain-2t no number.
PAPER: dict[str, dict[float, float]] = {
    "ce": {200: 35.63, 100: 38.32, 50: 43.85},
    "focal": {200: 34.69, 100: 38.41, 50: 44.32},
    "mixup": {200: 36.20, 100: 39.54, 50: 44.99},
    "cb-focal": {200: 36.23, 100: 39.60, 50: 45.32},
    "ldam-drw": {200: 38.06, 100: 42.04, 50: 46.62},
    "bbn": {200: 37.93, 100: 42.56, 50: 47.02},
    "plain": {200: 39.35, 100: 42.48, 50: 47.61},
    "dual-phase": {200: 40.53, 100: 44.79, 50: 49.32},
}
METHODS = ("ce", "plain", "plain-2t", "dual-phase")
# The others' numbers are copied, and were trained with recipes of their own.
PAPERS_RECIPE = ("plain", "dual-phase")
# The fastest way to compute on a CPU that resumes bit for bit (gradlens/longtail/README.md).
FASTEST = "compile=true"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    given = sys.argv[1:] if arguments is None else arguments
    queue = "--queue" in given
    parser = options("table3_full" if queue else "table3", __doc__.splitlines()[0])
    parser.add_argument("--imbalances", type=float, nargs="+", default=list(IMBALANCES) if queue else [50, 100, 200])
    parser.add_argument("--methods", nargs="+", default=list(ORDER if queue else METHODS))
    parser.add_argument("--queue", action="store_true", help="run what is missing at the paper's length, in processes")
    parser.add_argument("--list", action="store_true", help="with --queue: only say how far each training is")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="with --queue: trainings at a time")
    if queue:
        parser.set_defaults(seeds=list(SEEDS), evaluate_every=10)
    args = parser.parse_args(given)
    if args.list and not args.queue:
        parser.error("--list belongs to --queue")
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs}: give at least 1")
    if queue and not any(change.startswith("compile=") for change in args.set or ()):
        args.set = [FASTEST, *(args.set or ())]
    return args


def table(cells: list[dict[str, Any]]) -> str:
    """Returns the Markdown table."""
    header = [
        "imbalance, method",
        "recipe",
        "seeds",
        "Many",
        "Medium",
        "Few",
        "Overall (last)",
        "Overall (best)",
        "paper",
    ]
    rows = []
    for cell in cells:
        paper = cell["paper"]
        preset = cell.get("preset", "")
        same = preset or cell["method"] in PAPERS_RECIPE
        found = cell["accuracy"]
        rows.append(
            [
                f"{cell['imbalance']:g}, {cell['method']}",
                preset or "data set's",
                str(len(cell["seeds"])),
                *(shown(found[shot]) if shot in found else "-" for shot in ("many", "medium", "few", "overall")),
                shown(found["best_epoch"]),
                "-" if paper is None else f"{paper:.2f}" if same else f"({paper:.2f})",
            ]
        )
    note = (
        "\nTop-1 accuracy in percent on the test images, mean +- standard deviation over the seeds. The best epoch, of "
        "those that were evaluated, is chosen on those very images, as the literature does; compare the last one. The data set's "
        "recipe is that of the paper's Appendix A (batch 64, weight decay 5e-4, Nesterov and warm-up off), with which the paper "
        "trains plain and dual-phase: rows with it compare methods. The other numbers of the paper are copied from papers whose "
        "recipes differ, so they stand in parentheses there; rows with a method's own recipe (a preset of its reference's "
        "code, whose name the row gives) are for comparison with them. Its focal is the sigmoid form, with gamma 1.\n"
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


def cell(
    imbalance: float,
    method: str,
    seeds: Sequence[int],
    results: list[dict[str, Any]],
    paper: float | None,
    preset: str = "",
) -> dict[str, Any]:
    """Returns the facts about a method at an imbalance.

    Args:
        imbalance: Largest over smallest class.
        method: What the table calls the method.
        seeds: Seeds of the trainings.
        results: The results of the trainings.
        paper: The paper's number; None = it has none.
        preset: Preset of the method's own recipe; "" = the recipe of the data set.
    """
    return {
        "imbalance": imbalance,
        "method": method,
        "seeds": list(seeds),
        "accuracy": accuracies(results),
        "paper": paper,
        "preset": preset,
        **{name: results[0][name] for name in ("settings", "phases", "steps", "subset")},
    }


def paper_number(dataset: str, method: str, imbalance: float) -> float | None:
    """Returns the paper's accuracy in percent; None if it has none."""
    return PAPER.get(method, {}).get(imbalance) if dataset == "cifar100-lt" else None


def run_queue(args: argparse.Namespace) -> None:
    """Runs the queue, or lists its trainings."""
    trainings = wanted(args.methods, args.imbalances, args.seeds, args.dataset)
    if args.list:
        for training in trainings:
            print(f"{training.name:50} {state(training, args.runs)}")
        return
    for folder in (args.runs, args.results):  # before hours of training, not after them
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            sys.exit(f"cannot write into {folder}: {error.strerror}; choose another folder with --runs and --results")
    absent = {training.method for training in trainings if state(training, args.runs).kind == "no such method"}
    for method in sorted(absent):
        print(f"{method}: left out, there is no such method yet", flush=True)

    def write() -> None:
        with locked(args.runs / "results.lock", patience=600):
            try:
                write_finished(args, list(dict.fromkeys([*wanted(ORDER, IMBALANCES, SEEDS, args.dataset), *trainings])))
            except OSError as error:  # the trainings are kept, and the next one writes all results
                print(f"cannot write results into {args.results}: {error.strerror}; the trainings go on", flush=True)

    arguments = [f"--runs={args.runs}", f"--dataset={args.dataset}", f"--device={args.device}"]
    arguments += [f"--evaluate-every={args.evaluate_every}", *(f"--set={assignment}" for assignment in args.set)]
    optional = {"--data": args.data, "--epochs": args.epochs, "--max-steps": args.max_steps}
    arguments += [f"{name}={value}" for name, value in optional.items() if value is not None]
    write()
    queue = Queue(trainings, args.runs, arguments, args.jobs, write)
    queue.run()
    left = [training.name for training in trainings if not result(training, args.runs)]
    print(f"{len(trainings) - len(left)} of {len(trainings)} are done" + (f"; not: {', '.join(left)}" if left else ""))


def write_finished(args: argparse.Namespace, trainings: Sequence[Wanted]) -> None:
    """Writes the table of the trainings that are finished."""
    done = [training for training in trainings if result(training, args.runs)]
    if not done:
        return
    cells = []
    for imbalance, row, preset in dict.fromkeys((t.imbalance, t.row, t.preset) for t in done):
        own = [t for t in done if (t.imbalance, t.row, t.preset) == (imbalance, row, preset)]
        number = None if own[0].twin_of else paper_number(args.dataset, own[0].method, imbalance)
        results = [result(training, args.runs) for training in own]
        found = cell(imbalance, row, [training.seed for training in own], results, number, preset)
        commits = {training.seed: progress(training, args.runs)["git_commits"] for training in own}
        cells.append(found | {"trained_by_commits": commits})
    Lab(args).write({"cells": cells}, table(cells))


def main() -> None:
    """Trains what is missing and writes the table after each cell."""
    args = parse_arguments()
    if args.queue:
        run_queue(args)
        return
    lab = Lab(args)
    cells: list[dict[str, Any]] = []
    for imbalance in args.imbalances:
        for method in args.methods:
            results = [lab.train(method, seed, imbalance=imbalance)[1] for seed in args.seeds]
            cells.append(cell(imbalance, method, args.seeds, results, paper_number(args.dataset, method, imbalance)))
            lab.write({"cells": cells}, table(cells), picture(cells))


if __name__ == "__main__":
    main()
