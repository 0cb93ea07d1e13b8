"""Figure 1 and the distortion for every method: who lifts the tail by moving the gradient, and who without?

    python experiments/paper/methods.py --data ./data
    python experiments/paper/methods.py --dataset digits --imbalance 50 --seeds 0 1 2 3 4

It trains each method, watched by the lens, and writes for each phase the distortion, the tail's share of the update beside its
share of the samples, how fast its loss falls beside the head's, and its accuracy; and how much higher the tail's accuracy is
than that of `ce`, all with 95 % intervals. Finished trainings are not repeated, and interrupted ones are resumed. A method that
cannot be trained is named at the end, and the script ends with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lab import MEASURED_STEPS, Lab, markdown, options
from measured import COLUMNS, COMBINED, FROM_THE_LENS, RANGES, TAIL_SHOT, over_seeds, phases_of, pooled

from gradlens.estimation.interval import Interval
from gradlens.longtail.methods import METHODS
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.runlog import Run

BASE = "ce"
NOT_TO_CONCLUDE = """
The tail is the classes with fewer than 20 training images. Numbers of the lens are means over the measured steps of a phase. With
one seed their intervals hold the noise of batches within this one training, and those of the accuracy the choice of the test
images; with several seeds they are Student's t over the seeds. Distortion 0 = every group has its share of the classes. Where the
tail is not trained in a phase, its share is 0.

What one must not conclude:

- Trainings of this length say nothing about the ranks of methods at full length. Methods with strong augmentation, several views
  or several experts need more epochs than others.
- One seed says nothing about other seeds: intervals within one training leave out initial weights and subset.
- All seeds share one subset and the test images: intervals over seeds say nothing about other ones.
- Of many methods that are compared with `ce`, one in twenty is beyond its interval by chance.
- A method whose tail has a larger share of the update and is more accurate need not be more accurate because of it.
- Shares are those of the loss that a method minimises. A method may draw other samples, weigh the loss, or combine the groups'
  gradients (then "combined" is the distortion of the direction that is stepped on); one that adjusts the logits after
  the training moves no gradient at all.
- The fall of loss is of first order, for plain SGD, on the batch that gives the gradient: the noise of few samples raises it.
- Methods differ in what they cost: see the steps, and `gradlens methods`.
"""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options("methods", __doc__.splitlines()[0], epochs=10)
    parser.add_argument("--imbalance", type=float, help="largest over smallest class; default: that of the data set")
    parser.add_argument("--methods", nargs="+", default=sorted(METHODS, key=lambda name: (name != BASE, name)))
    parser.add_argument(
        "--measured-steps",
        type=int,
        default=MEASURED_STEPS,
        help="measured steps of each training, about, evenly spread",
    )
    return parser.parse_args(arguments)


def trained(lab: Lab, method: str) -> dict[str, Any]:
    """Returns the facts about a method: its phases, its accuracy for each seed, and its number of steps."""
    args = lab.args
    task = lab.task(args.imbalance)
    of_seeds, results = [], []
    for seed in args.seeds:
        folder, result = lab.train(method, seed, imbalance=args.imbalance, measured_steps=args.measured_steps)
        of_seeds.append(phases_of(None if args.untracked else Run(folder), result, task))
        results.append(result)
    phases = [
        {"name": same[0]["name"], "epochs": same[0]["epochs"]}
        | {
            column: pooled([phase[column] for phase in same], *RANGES[column])
            for column in (*COLUMNS, COMBINED)
            if column in same[0]
        }
        for same in zip(*of_seeds, strict=True)
    ]
    split = results[0]["best"]["split"]
    return {
        "approximate": METHODS[method].approximate,
        "phases": phases,
        "phases_of_seeds": of_seeds,
        "accuracy": {shot: [result["last"][split][shot] for result in results] for shot in (TAIL_SHOT, "overall")},
        "steps": results[0]["steps"],
        "batches": batches(METHODS[method].on(task, {"epochs": args.epochs} if args.epochs else {}), of_seeds[0]),
        "seconds_training": [result["seconds_training"] for result in results],
        "settings": results[0]["settings"],
    }


def batches(recipe: Recipe, phases: Sequence[Mapping[str, Any]]) -> int:
    """Returns how many batches of images a training takes through its network: one for each view and stream of each step."""
    return sum(
        same["steps"] * len(phase.views) * (1 if phase.partner is None else 2)
        for phase, same in zip(recipe.phases, phases, strict=True)
    )


def over_base(found: Mapping[str, Any], base: Mapping[str, Any], shot: str) -> dict[str, Any] | None:
    """Returns how much more accurate a method is than ``ce`` with the same seeds, with its interval.

    Args:
        found: The facts about the method.
        base: Those about ``ce``.
        shot: "few" or "overall".

    Returns:
        The interval; without ends for a single seed, which says nothing about other seeds.
    """
    pairs = [a - b for a, b in zip(found["accuracy"][shot], base["accuracy"][shot], strict=True)]
    if len(pairs) == 1:
        return asdict(Interval.none(pairs[0], 1, "one seed"))
    return asdict(over_seeds(pairs))


def table(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the Markdown table: a row for each phase of each method."""
    header = ["method, phase", "steps", *COLUMNS.values(), "tail over ce", "overall", "over ce"]
    rows = []
    for name, found in methods.items():
        for number, phase in enumerate(found["phases"], 1):
            title = name if len(found["phases"]) == 1 else f"{name}, {phase['name']}"
            last = number == len(found["phases"])
            ends = ["", "", "", ""]
            if last:
                overall = sum(found["accuracy"]["overall"]) / len(found["accuracy"]["overall"])
                tail, whole = (_shown(found.get(f"{shot}_over_base"), 1, sign=True) for shot in (TAIL_SHOT, "overall"))
                ends = [str(found["steps"]), tail, f"{overall:.1f}", whole]
            cells = [_shown(phase[column], 3 if column in FROM_THE_LENS else 1) for column in COLUMNS]
            if COMBINED in phase:
                cells[0] += f"; combined {_shown(phase[COMBINED], 3)}"
            rows.append([title, ends[0], *cells, *ends[1:]])
    return markdown(header, rows)


def verdict(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns which methods raise the tail's accuracy over ``ce``, as a sentence for each answer; "" without intervals."""
    answers: dict[str, list[str]] = {"raise": [], "lower": [], "undecided": []}
    for name, found in methods.items():
        difference = found.get(f"{TAIL_SHOT}_over_base")
        if name == BASE or difference is None or difference["samples"] < 2:
            continue
        above = Interval(**difference).verdict()
        answers["undecided" if above is None else "raise" if above else "lower"].append(f"`{name}`")
    texts = {
        "raise": "More accurate on the tail than `ce`, beyond the interval",
        "lower": "Less accurate on the tail than `ce`, beyond the interval",
        "undecided": "Undecided, the interval holds 0",
    }
    return "".join(f"\n{texts[answer]}: {', '.join(names)}.\n" for answer, names in answers.items() if names)


def _shown(found: Mapping[str, Any] | None, digits: int, *, sign: bool = False) -> str:
    if found is None:
        return "-"
    value = Interval(**found)
    text = f"{value.value:{'+' if sign else ''}.{digits}f}"
    return f"{text} [{value.low:.{digits}f}, {value.high:.{digits}f}]" if value.measurable else text


def picture(methods: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draws distortion, the tail's share of update and samples, and its accuracy, a line for each phase of each method."""
    from plotly.subplots import make_subplots

    from gradlens.figures import LIGHT, style_of

    columns = ("distortion", "share", "accuracy")
    figure = make_subplots(1, 3, subplot_titles=[COLUMNS[column] for column in columns], shared_yaxes=True)
    rows = [
        (name if len(found["phases"]) == 1 else f"{name}, {phase['name']}", phase)
        for name, found in reversed(methods.items())
        for phase in reversed(found["phases"])
    ]
    color = style_of("group", "tail", LIGHT).color
    for panel, column in enumerate(columns, 1):
        if column == "share":
            _dots(
                figure,
                rows,
                "sample_share",
                panel,
                "of the samples",
                {"color": LIGHT.muted, "symbol": "line-ns-open", "size": 11},
            )
        _dots(figure, rows, column, panel, COLUMNS[column], {"color": color, "size": 7})
    figure.update_yaxes(categoryorder="array", categoryarray=[name for name, _ in rows])
    return figure.update_layout(
        template="plotly_white", height=180 + 22 * len(rows), margin={"l": 220}, showlegend=False,
        title="The tail in each phase of each method: who lifts it by moving the gradient? (grey mark: its share of the samples)",
    )  # fmt: skip


def _dots(
    figure: Any, rows: Sequence[tuple[str, Mapping[str, Any]]], column: str, panel: int, title: str, marker: Any
) -> None:
    known = [(name, Interval(**phase[column])) for name, phase in rows if phase[column] is not None]
    ends = [
        (found.high - found.value, found.value - found.low) if found.measurable else (0.0, 0.0) for _, found in known
    ]
    figure.add_scatter(
        x=[found.value for _, found in known], y=[name for name, _ in known], mode="markers", marker=marker, name=title,
        error_x={"type": "data", "symmetric": False, "array": [up for up, _ in ends], "arrayminus": [down for _, down in ends]},
        row=1, col=panel,
    )  # fmt: skip


def main() -> None:
    """Trains what is missing and writes the results after each method."""
    args = parse_arguments()
    lab = Lab(args)
    counts = lab.task(args.imbalance).counts
    imbalance = args.imbalance or float(max(counts) / min(counts))
    methods: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for name in args.methods:
        try:
            methods[name] = trained(lab, name)
        except Exception as error:
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if BASE in methods:
            for found in methods.values():
                found |= {f"{shot}_over_base": over_base(found, methods[BASE], shot) for shot in (TAIL_SHOT, "overall")}
        text = table(methods) + verdict(methods) + NOT_TO_CONCLUDE
        lab.write({"dataset": args.dataset, "imbalance": imbalance, "methods": methods, "failed": failed}, text)
    if methods:
        lab.write(
            {"dataset": args.dataset, "imbalance": imbalance, "methods": methods, "failed": failed},
            text,
            picture(methods),
        )
    if failed:
        sys.exit("not trained: " + "; ".join(f"{name} ({why})" for name, why in failed.items()))


if __name__ == "__main__":
    main()
