"""The command line of gradlens: parses options, calls a function, prints. A command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradlens import __version__
from gradlens.commands.ls import print_runs
from gradlens.commands.mirror import mirror_command
from gradlens.commands.refusals import refusals, refuse
from gradlens.commands.track import TrackCommand, Tracked, track_command
from gradlens.tracking.errors import TrackError
from gradlens.tracking.launch.session import track
from gradlens.tracking.messages import say

if TYPE_CHECKING:
    from gradlens.runlog import Run

app = typer.Typer(
    name="gradlens",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def run() -> None:
    """Runs the command line.

    Raises:
        SystemExit: After every command, except a tracked program that runs to its end.
        BaseException: Any exception of a tracked program.
    """
    tracked: list[Tracked] = []
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


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = False,
) -> None:
    """Whose gradient is my model following? Exact per-class-group gradients of any PyTorch training run."""


app.command("track", cls=TrackCommand, context_settings={"allow_interspersed_args": False}, no_args_is_help=True)(
    track_command
)


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
def list_command(
    folder: Annotated[Path, typer.Argument(metavar="[RUNS_DIR]")] = Path("runs"),
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="CONDITION", help="words or conditions such as 'method=ce accuracy>50'"),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="sort by a field such as accuracy; --sort=-accuracy: largest first"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="list archived and deleted runs, too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON with all numbers")] = False,
) -> None:
    """Lists the runs in a folder."""
    with refusals():
        print_runs(folder, filters or (), sort, everything=everything, as_json=as_json)


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


@app.command("diagnose")
def diagnose_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Says in a few sentences what is wrong with a training, each with its number."""
    with refusals():
        from gradlens.commands.diagnose import print_diagnosis

        print_diagnosis(_readable(runs), as_json=as_json)


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


app.command("mirror")(mirror_command)


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
