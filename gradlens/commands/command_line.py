"""The command line of gradlens: parses options, calls a function, prints. A command imports what it needs when it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from gradlens import __version__
from gradlens.choices import DEFAULT_BUDGET, ENGINES
from gradlens.commands.ls import print_runs
from gradlens.commands.refusals import refusals, refuse
from gradlens.tracking.errors import TrackError
from gradlens.tracking.launch.session import track
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions, check_groups, parse_budget, read_groups

if TYPE_CHECKING:
    from gradlens.runlog import Run

app = typer.Typer(
    name="gradlens",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@dataclass(frozen=True)
class _Tracked:
    """A program to track. It runs after the command line parser has returned."""

    options: TrackOptions
    target: str
    arguments: list[str]
    is_module: bool


def run() -> None:
    """Runs the command line.

    Raises:
        SystemExit: After every command, except a tracked program that runs to its end.
        BaseException: Any exception of a tracked program.
    """
    tracked: list[_Tracked] = []
    try:
        app(obj=tracked)
    except SystemExit:
        if not tracked:
            raise
    # Not inside the parser, which would turn exceptions and interrupts of the program into messages of its own.
    plan = tracked[0]
    try:
        track(plan.options, plan.target, plan.arguments, is_module=plan.is_module)
    except TrackError as error:
        refuse(error)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gradlens {__version__}")
        raise typer.Exit


class _TrackCommand(TyperCommand):
    """The command ``track``. Its usage line says that the program may be a script or a module."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Returns the parts of the usage line after the name of the command."""
        return ["[OPTIONS] (SCRIPT | -m MODULE) [ARGS]..."]


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = False,
) -> None:
    """Whose gradient is my model following? Exact per-class-group gradients of any PyTorch training run."""


@app.command("track", cls=_TrackCommand, context_settings={"allow_interspersed_args": False}, no_args_is_help=True)
def track_command(
    context: typer.Context,
    program: Annotated[
        list[str],
        typer.Argument(metavar="SCRIPT [ARGS]...", help="the script or, with -m, the module, and its arguments"),
    ],
    module: Annotated[bool, typer.Option("-m", help="run a module, as python -m does")] = False,
    groups: Annotated[
        str | None,
        typer.Option(help="head-tail (default), shots, per-class, or NAME=IDS,... such as head=0-69,tail=70-99"),
    ] = None,
    groups_from: Annotated[Path | None, typer.Option(metavar="RUN", help="use the groups of another run")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="measure every N optimizer steps")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help=f"spend at most this part of the training time: 5% or 0.05 (default {DEFAULT_BUDGET:.0%})",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run (default runs/SCRIPT, the next free one)")] = None,
    name: Annotated[str | None, typer.Option(help="name of the run below runs/")] = None,
    engine: Annotated[str, typer.Option(help="auto, masked, split or func")] = "auto",
    layers: Annotated[bool, typer.Option("--layers", help="record every layer")] = False,
    update: Annotated[bool, typer.Option("--update", help="also record the optimizer's update")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="stop the training on an error of gradlens")] = False,
) -> None:
    """Runs an unchanged training script and measures what each group of classes contributes to its gradient."""
    with refusals():
        if groups is not None and groups_from is not None:
            raise TrackError("--groups and --groups-from were both given; choose one")
        if every is not None and budget is not None:
            raise TrackError("--every and --budget were both given; choose one")
        if out is not None and name is not None:
            raise TrackError("--out and --name were both given; choose one")
        if engine not in ENGINES:
            raise TrackError(f"--engine {engine!r}; choose one of {', '.join(ENGINES)}")
        if groups is not None:
            check_groups(groups)
        options = TrackOptions(
            groups=groups,
            groups_from=None if groups_from is None else read_groups(groups_from),
            groups_source=groups_from,
            every=every,
            budget=TrackOptions.budget if budget is None else parse_budget(budget),
            out=out,
            name=name,
            engine=engine,
            layers=layers,
            update=update,
            strict=strict,
        )
        context.obj.append(_Tracked(options, program[0], program[1:], module))


@app.command("methods")
def methods_command(
    method: Annotated[
        str | None, typer.Argument(help="all that is known of this method; default: a row for each")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="print the table in Markdown")] = False,
) -> None:
    """Lists the methods of the long-tail lab: cost, published numbers with their protocol, and what was measured here."""
    with refusals():
        from gradlens.commands.methods import print_methods

        print_methods(method, as_markdown=markdown)


@app.command("ls")
def list_command(folder: Annotated[Path, typer.Argument(metavar="[RUNS_DIR]")] = Path("runs")) -> None:
    """Lists the runs in a folder."""
    with refusals():
        print_runs(folder)


def _opened(folder: Path) -> Run:
    """Returns a run, and prints warnings about its damaged files."""
    from gradlens.runlog import Run

    run = Run(folder)
    for warning in run.warnings:
        say(f"warning: {folder}: {warning}")
    return run


def _readable(folders: list[Path]) -> list[Run]:
    """Returns the runs that can be read, and prints a warning for each of the others. A single run must be readable."""
    from gradlens.runlog import RunError

    found = []
    for folder in folders:
        try:
            found.append(_opened(folder))
        except RunError as error:
            if len(folders) == 1:
                raise
            say(f"warning: {folder} is left out: {error}")
    return found


@app.command("compare")
def compare_command(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="the long-tailed run")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="the balanced run, or any other")],
) -> None:
    """Compares two runs: the statements of the paper's Figure 1, measured and judged."""
    with refusals():
        from rich.console import Console

        from gradlens.reports.comparison import comparison_tables

        console = Console()
        for table in comparison_tables(_opened(first), _opened(second), width=console.width):
            console.print(table)


@app.command("report")
def report_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the HTML file to write")] = Path("report.html"),
) -> None:
    """Writes runs into one HTML page, which works offline."""
    with refusals():
        from gradlens.reports.html import write_report

        write_report(_readable(runs), out)
        typer.echo(out)


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    to: Annotated[str | None, typer.Option("--to", help="parquet, csv or tensorboard (default: as --out ends)")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="file or folder to write (default: the name of the run)")
    ] = None,
) -> None:
    """Writes a run as a table for other tools. It has a row for each measured step, for the whole model.

    Losses and hits of a group are sums over its samples (count/). The table has no layers and probes; gradlens.Run reads them.
    """
    with refusals():
        from gradlens.reports.export import export, format_of

        kind = format_of(to, out)
        suffix = "-tensorboard" if kind == "tensorboard" else f".{kind}"
        opened = _opened(run)
        typer.echo(export(opened, kind, out or Path(run.resolve().name + suffix)))
        left = [
            f"{len(found):,} {what}" for what, found in (("layers", opened.layers), ("probes", opened.probes)) if found
        ]
        if left:
            typer.echo(f"gradlens: {' and '.join(left)} are not in it; gradlens.Run reads them", err=True)
        if not len(opened):
            typer.echo("gradlens: the run has no measured step, so there is no row", err=True)


@app.command("demo")
def demo_command(
    out: Annotated[
        Path | None, typer.Option(help="folder for runs and report (default runs/demo, the next free one)")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of class order, subsets, weights and batches")] = 0,
) -> None:
    """Trains on handwritten digits, balanced and long-tailed, and shows whose gradient the models followed."""
    with refusals():
        from gradlens.commands.demo.run import run_demo

        run_demo(out, seed)


@app.command(
    "train",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
)
def train_command(context: typer.Context) -> None:
    """Trains a method of the long-tail lab and measures its gradients."""
    from gradlens.commands.train import main as train

    train(context.args)


@app.command("dashboard")
def dashboard_command(
    folder: Annotated[Path, typer.Argument(metavar="[RUNS_DIR]")] = Path("runs"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="port (default 8501, or the next free one)")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open the page in the browser")] = True,
) -> None:
    """Shows the runs of a folder in the browser, also while they train."""
    with refusals():
        from gradlens_dashboard.server import start

        start(folder, port, browser)
