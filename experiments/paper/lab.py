"""Parts that all experiments of the long-tail lab share: options, running a training, mean and spread, result files."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from environment import hardware, public_arguments, versions

from gradlens.longtail.methods import find_method
from gradlens.longtail.recipe.settings import parse_assignments
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.loading import load_task
from gradlens.longtail.training.branching import branch_point
from gradlens.longtail.training.training_run import RESULT, run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog.format.description import git_commit

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from gradlens.figures import Style

EXPERIMENTS = Path(__file__).resolve().parents[1]
SHOTS = ("many", "medium", "few", "overall")
# With about this many measured steps curves look smooth and there are intervals. More would only cost time.
MEASURED_STEPS = 2000


def options(name: str, description: str, epochs: int | None = None) -> argparse.ArgumentParser:
    """Returns a parser with the options that every experiment has.

    Args:
        name: Name of the folders for runs and results.
        description: Description of the experiment.
        epochs: Default number of epochs; None = that of the paper.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--dataset", default="cifar100-lt", help="a data set of `gradlens train`")
    parser.add_argument("--data", help="folder with the data; default: $GRADLENS_DATA, then ./data")
    parser.add_argument("--epochs", type=int, default=epochs, help="epochs of each phase; default: those of the paper")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="settings of every training")
    parser.add_argument("--evaluate-every", type=int, default=1, help="epochs between evaluations")
    parser.add_argument("--untracked", action="store_true", help="train without the lens, if its curves are not needed")
    parser.add_argument("--max-steps", type=int, help="most steps of an epoch, for a quick try")
    parser.add_argument("--runs", type=Path, default=Path("runs") / name, help="folder of the runs")
    parser.add_argument("--results", type=Path, default=EXPERIMENTS / "results" / name, help="folder of what is shown")
    return parser


class Lab:
    """Runs the trainings of an experiment. A finished training is read, an unfinished one is resumed."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self._tasks: dict[tuple[float | None, bool], Task] = {}

    def task(self, imbalance: float | None = None, *, balanced: bool = False) -> Task:
        """Returns the task of the experiment. Each task is loaded only once."""
        key = (imbalance, balanced)
        if key not in self._tasks:
            self._tasks[key] = load_task(
                self.args.dataset, data=self.args.data, imbalance=imbalance, balanced=balanced, device=self.args.device
            )
        return self._tasks[key]

    def train(
        self,
        method: str,
        seed: int,
        *,
        imbalance: float | None = None,
        balanced: bool = False,
        changes: Mapping[str, Any] | None = None,
        measured_steps: int | None = None,
        branch_from: Path | None = None,
    ) -> tuple[Path, dict[str, Any]]:
        """Returns the folder and the result of a training.

        Args:
            method: Name of the method.
            seed: Seed of weights, order and augmentation.
            imbalance: Largest over smallest class; None = the default of the data set.
            balanced: True to train on a balanced set of as many images.
            changes: Settings that differ from the defaults.
            measured_steps: Measures about this many steps in all, the same number in each phase; None = a budget of 5 %.
            branch_from: Folder of a training that is the same up to the end of a phase. That part is not trained again.
        """
        task = self.task(imbalance, balanced=balanced)
        given = {} if self.args.epochs is None else {"epochs": self.args.epochs}
        own = dict(changes or {})
        recipe = find_method(method).on(task, {**given, **parse_assignments(self.args.set), **own}, "experiment")
        parts = [method, task.name, *([f"if{imbalance:g}"] if imbalance else [])]
        parts += [f"{key}={value}" for key, value in own.items()]
        folder = self.args.runs / "-".join([*parts, f"e{recipe.phases[0].epochs}", f"s{seed}"])
        print(f"{folder.name}", flush=True)
        start = None
        if branch_from is not None and not (folder / RESULT).exists():
            start = branch_point(branch_from, recipe, task, seed=seed, max_steps=self.args.max_steps)
            print(f"  as {branch_from.name} up to the end of phase {recipe.phases[start.phase].name}", flush=True)
        # A phase with few images has few steps. Measured as rarely as the first phase, it would have no interval.
        per_phase = None if measured_steps is None else max(1, measured_steps // len(recipe.phases))
        watching = None if self.args.untracked else Watching(probe_every=0, per_phase=per_phase)
        trained = run_training(
            recipe,
            task,
            folder,
            seed=seed,
            device=self.args.device,
            resume=True,
            start=start,
            watching=watching,
            evaluate_every=self.args.evaluate_every,
            max_steps=self.args.max_steps,
            on_epoch=_show,
        )
        return folder, trained.result

    def write(self, summary: Mapping[str, Any], table: str, figure: go.Figure | None = None) -> None:
        """Writes summary.json, table.md and figure.png (or figure.html, if there is no Chrome to draw the picture)."""
        folder: Path = self.args.results
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "command": ["python", *public_arguments([str(Path(sys.argv[0]).resolve()), *sys.argv[1:]])],
            "seeds": self.args.seeds,
            "epochs": self.args.epochs,
            "git_commit": git_commit(EXPERIMENTS),
            "versions": versions(),
            "hardware": hardware(self.args.device),
        }
        (folder / "summary.json").write_text(json.dumps(facts | dict(summary), indent=1) + "\n")
        (folder / "table.md").write_text(table)
        print(table)
        if figure is not None:
            _picture(figure, folder)
        print(f"results in {folder}")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Returns the mean, the sample standard deviation (None for a single value) and the values."""
    finite = [value for value in values if math.isfinite(value)]
    return {
        "mean": statistics.fmean(finite) if finite else None,
        "std": statistics.stdev(finite) if len(finite) > 1 else None,
        "values": list(values),
    }


def shown(cell: Mapping[str, Any]) -> str:
    """Returns a spread as text: "44.79 +- 0.31", or "44.79" for a single seed."""
    if cell["mean"] is None:
        return "-"
    return f"{cell['mean']:.2f}" + ("" if cell["std"] is None else f" +- {cell['std']:.2f}")


def error_bars(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns plotly's error bars of spreads; None for a single seed."""
    known = any(cell["std"] is not None for cell in cells)
    return {"type": "data", "array": [cell["std"] or 0 for cell in cells]} if known else None


def look_of(shot: str) -> Style:
    """Returns the style of the line of a shot, or of all classes, in every figure."""
    from gradlens.figures import LIGHT, style_of, whole_style

    return whole_style(LIGHT) if shot == "overall" else style_of("group", shot, LIGHT)


def accuracies(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the spread over seeds of the accuracies in the last epoch, and of the overall accuracy in the best epoch."""
    split = results[0]["best"]["split"]
    last = [result["last"][split] for result in results]
    return {
        **{shot: spread([row[shot] for row in last]) for shot in SHOTS if shot in last[0]},
        "best_epoch": spread([result["best"]["overall"] for result in results]),
    }


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table. All columns but the first are aligned to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _show(row: dict[str, Any]) -> None:
    accuracy = "  ".join(f"{shot} {row[shot]:5.2f}" for shot in SHOTS if shot in row)
    print(f"  epoch {row['epoch']:3d}  phase {row['phase']}  loss {row['loss']:.3f}  {accuracy}", flush=True)


def _picture(figure: go.Figure, folder: Path) -> None:
    try:
        figure.write_image(folder / "figure.png", width=1200, height=figure.layout.height or 700, scale=1.5)
    except (RuntimeError, ValueError) as error:
        # plotly needs Chrome on the machine to draw pictures.
        print(f"no picture, figure.html instead: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        figure.write_html(folder / "figure.html", include_plotlyjs="cdn")
