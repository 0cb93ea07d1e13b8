"""The command ``gradlens mirror``."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradlens.commands.refusals import refusals
from gradlens.tracking.messages import say

if TYPE_CHECKING:
    from gradlens.mirror.destination import Destination
    from gradlens.runlog import Run


def mirror_command(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    to: Annotated[str, typer.Option("--to", help="tensorboard, wandb, mlflow or trackio")],
    follow: Annotated[bool, typer.Option("--follow", help="go on until the training is over")] = False,
    logdir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="TensorBoard's folder (default: tensorboard in the run's folder)")
    ] = None,
    own_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="your own run in W&B or Trackio (default: a new one)")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", metavar="ID", help="your own run in MLflow (default: a new one)")
    ] = None,
) -> None:
    """Writes the series of a run into the tracker that you use already, from outside of the training.

    A second call goes on where the last one ended, also after a kill. Nothing is added to a training step.
    """
    with refusals():
        from gradlens.mirror.choice import opened
        from gradlens.runlog import Run

        found = Run(run)
        for warning in found.warnings:
            say(f"warning: {run}: {warning}")
        tracker = opened(found, to, logdir=logdir, own_id=own_id, mlflow_id=run_id)
        _mirror(found, to, tracker, follow)


def _mirror(run: Run, to: str, tracker: Destination, follow: bool) -> None:
    from gradlens.mirror.mirroring import Mirroring

    over = False
    try:
        with _interrupts() as stop:
            mirroring = Mirroring(run, to, tracker, say)
            mirroring.follow(stop) if follow else mirroring.catch_up(stop)
        over = run.status.state == "finished"
    finally:
        tracker.close(over=over)
    say(f"{mirroring.written:,} steps written to {tracker.place}")
    if stop.is_set():
        say("stopped; the same command goes on from here")
    elif follow and not over:
        say(f"the run is {run.status.state}; if its training is resumed, the same command goes on")


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Yields an event that Ctrl-C sets, instead of raising an error in the middle of a write."""
    stop = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
