"""Measures how fast the dashboard shows a long run: 1,000,000 measured steps of 40 layers, which still grows.

    python experiments/bench_dashboard.py

It makes the run in a temporary folder (about 1.8 GB, removed at the end) and reads it once, so that it is in the file cache. Then
it runs the page "Run" of the dashboard with Streamlit's test driver, in this process and on one thread: before the run was
opened, after that, and each time rows were added. It prints a table and writes a JSON file with versions and hardware.

- Seconds are CPU time of the process, without waiting for other programs. "Elapsed" seconds are time on the clock.
- The first figure: from the start of the page until the data of the figure is sent to the browser.
- A live tick: all that the server does for a viewer when rows have come. It looks, reads, and draws all figures of the page.
- Memory: the memory of the process itself, without the mapped file and without what closed tabs have left.
- In the browser (if Chromium and playwright are installed): from following the link to the first figure on the screen. The first
  visit is to a short run, right after the server and the browser were started. All scripts are loaded then.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from dashboard.browser import first_figure_in_browser
from dashboard.long_run import grow, make_long_run
from dashboard.page_timer import Opened, PageTimer, own_bytes
from environment import hardware, versions

from gradlens import figures
from gradlens.runlog import Run, RunWriter
from gradlens.runlog.reading import library
from gradlens_dashboard.freed_memory import give_back_large_arrays

# The zoom shows this part of the run.
ZOOM = (0.41, 0.43)
PARTS = {"gradient": None, "layers": "layers", "loss and accuracy": "fit", "facts": "facts"}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1_000_000, help="measured steps of the run")
    parser.add_argument("--layers", type=int, default=40)
    parser.add_argument("--opens", type=int, default=3, help="times that the run is opened anew")
    parser.add_argument("--ticks", type=int, default=10, help="live ticks")
    parser.add_argument("--rows", type=int, default=100, help="rows that come between two ticks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder; default: that of the system")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_dashboard.json")
    return parser.parse_args(arguments)


def measure(folder: Path, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Returns all results for the run "long" in a folder."""
    timer = PageTimer("run", folder)
    before = own_bytes()
    opened = [timer.open_anew(run="long") for _ in range(args.opens)]
    found: dict[str, Any] = {"first_figure": _typical(opened, "first"), "page": _typical(opened, "whole")}
    found["points"] = max(timer.open(run="long", **_show(part)).most_points() for part in PARTS.values())
    found["parts"] = {name: timer.open(run="long", **_show(part)).whole for name, part in PARTS.items()}
    found["bytes_sent"] = sum(opened[-1].bytes.values())
    found["own_bytes_opened"] = own_bytes() - before
    console.print("measuring live ticks")
    run = Run(folder / "long")
    writer = RunWriter(folder / "long", run.meta, resume=True)
    try:
        ticks, quiet, looks = _live(timer, writer, run, args)
    finally:
        writer.close()
    found["tick"], found["quiet_tick"], found["look"] = _typical(ticks, "whole"), quiet, median(looks)
    found["slowest_tick"] = max(tick.whole["seconds"] for tick in ticks)
    found["own_bytes_after_ticks"] = own_bytes() - before
    steps = run.steps
    figures.cosines.sheet(run)  # before a viewer zooms, the page has shown the whole run
    window = (float(steps[int(ZOOM[0] * len(steps))]), float(steps[int(ZOOM[1] * len(steps))]))
    found["zoom"] = timer.clock(lambda: figures.cosines.sheet(run, window=window).json())
    return found


def _live(
    timer: PageTimer, writer: RunWriter, run: Run, args: argparse.Namespace
) -> tuple[list[Opened], dict[str, float], list[float]]:
    grow(writer, run, args.rows)
    timer.open(run="long")
    quiet = timer.clock(timer.again)
    ticks, looks = [], []
    for _ in range(args.ticks):
        grow(writer, run, args.rows)
        timer.wait(library.FRESH_SECONDS)
        ticks.append(timer.again())
        grow(writer, run, args.rows)
        looks.append(timer.clock(timer.look)["seconds"])
    return ticks, quiet, looks


def _show(part: str | None) -> dict[str, str]:
    return {"show": part} if part else {}


def _typical(opened: list[Opened], what: str) -> dict[str, float]:
    return {key: median(getattr(one, what)[key] for one in opened) for key in ("seconds", "elapsed")}


def targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the targets: name, value, limit, and whether the value is within the limit."""
    rows = [
        ("first figure of the run, seconds", found["first_figure"]["seconds"], 2.0),
        ("live tick, seconds", found["tick"]["seconds"], 0.2),
        ("zoom of one figure, seconds", found["zoom"]["seconds"], 0.2),
        ("points of a trace", found["points"], 4100),
        ("memory of the open run, MB", found["own_bytes_opened"] / 1e6, 500),
        ("memory after the ticks, MB", found["own_bytes_after_ticks"] / 1e6, 500),
        (
            "memory after the ticks over memory of the open run",
            found["own_bytes_after_ticks"] / found["own_bytes_opened"],
            1.1,
        ),
    ]
    return [{"name": name, "value": value, "limit": limit, "met": value <= limit} for name, value, limit in rows]


def print_result(console: Console, result: dict[str, Any]) -> None:
    """Prints the numbers, and which targets they meet."""
    found = result["measured"]
    table = Table("", title=f"{result['run']['steps']:,} steps, {result['run']['layers']} layers", title_justify="left")
    for heading in ("own ms", "elapsed ms"):
        table.add_column(heading, justify="right")
    timed = {"first figure": "first_figure", "whole page": "page", "zoom": "zoom", "live tick": "tick"}
    for title, key in timed.items():
        table.add_row(title, *(f"{1000 * found[key][unit]:.0f}" for unit in ("seconds", "elapsed")))
    for title, cost in found["parts"].items():
        table.add_row(f"  {title}, opened before", *(f"{1000 * cost[unit]:.0f}" for unit in ("seconds", "elapsed")))
    table.add_row("look at the folder, rows have come", f"{1000 * found['look']:.1f}", "")
    for title, key in {"first figure in the browser": "seconds", "  at the first visit": "first_visit"}.items():
        seconds = result["browser"].get(key)
        table.add_row(title, "", f"{1000 * seconds:.0f}" if seconds else result["browser"]["why"])
    console.print(table)
    console.print(
        f"sent for the page: {found['bytes_sent'] / 1e6:.2f} MB; run on disk: {result['run']['bytes'] / 1e9:.2f} GB"
    )
    held = Table("", "", "at most", "", title="Targets", title_justify="left")
    for row in result["targets"]:
        verdict = "[green]met" if row["met"] else "[red]missed"
        held.add_row(row["name"], f"{row['value']:,.4g}", f"{row['limit']:,}", verdict)
    console.print(held)


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    torch.set_num_threads(1)
    give_back_large_arrays()  # as the dashboard does when it starts
    console = Console()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="gradlens-bench-") as place:
        folder = Path(place) / "runs"
        folder.mkdir()
        console.print("writing the run")
        size = make_long_run(folder / "long", args.steps, args.layers, args.seed)
        console.print("opening it")
        found = measure(folder, args, console)
        console.print("opening it in a browser")
        browser = first_figure_in_browser(folder, "long")
    result = {
        "command": ["python", "experiments/bench_dashboard.py", *given],
        "seed": args.seed,
        "settings": {
            key: str(value) if isinstance(value, Path) else value
            for key, value in vars(args).items()
            if key != "results"
        },
        "versions": versions() | {name: importlib.metadata.version(name) for name in ("streamlit", "plotly")},
        "hardware": hardware("cpu"),
        "run": {"steps": args.steps, "layers": args.layers, "bytes": size},
        "measured": found,
        "browser": browser,
        "targets": targets(found),
    }
    print_result(console, result)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {args.results}")


if __name__ == "__main__":
    main()
