"""Opens the tracker that a mirror is to write to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gradlens.mirror.destination import Destination
from gradlens.mirror.errors import MirrorError

if TYPE_CHECKING:
    from gradlens.runlog import Run

# The option that names the place in each tracker.
OPTIONS = {"tensorboard": "--logdir", "wandb": "--id", "mlflow": "--run-id", "trackio": "--id"}


def opened(run: Run, to: str, *, logdir: Path | None, own_id: str | None, mlflow_id: str | None) -> Destination:
    """Opens a tracker.

    Args:
        run: The run.
        to: The tracker's name.
        logdir: TensorBoard's folder; None = the folder ``tensorboard`` in the run's.
        own_id: Id of a run in W&B or Trackio; None = a run of its own.
        mlflow_id: Id of a run in MLflow; None = a run of its own.

    Raises:
        MirrorError: The tracker is unknown or not installed, or the options are those of another one.
    """
    if to not in OPTIONS:
        raise MirrorError(f"cannot mirror to {to!r}; choose one of {', '.join(OPTIONS)}")
    for option, given in (("--logdir", logdir), ("--id", own_id), ("--run-id", mlflow_id)):
        if given is not None and OPTIONS[to] != option:
            raise MirrorError(f"{option} is not an option of {to}, which takes {OPTIONS[to]}")
    key = run.meta.id or run.name
    makers: dict[str, Callable[[], Destination]] = {
        "tensorboard": lambda: _tensorboard(run.path / "tensorboard" if logdir is None else logdir),
        "wandb": lambda: _wandb(run, key, own_id),
        "mlflow": lambda: _mlflow(run, key, mlflow_id),
        "trackio": lambda: _trackio(run, key, own_id),
    }
    try:
        return makers[to]()
    except ImportError as error:
        raise MirrorError(
            f"to mirror to {to}, the package {to} must be installed: pip install {to} ({error})"
        ) from error


def _tensorboard(folder: Path) -> Destination:
    from gradlens.mirror.trackers.tensorboard import TensorBoardMirror

    return TensorBoardMirror(folder)


def _wandb(run: Run, key: str, own: str | None) -> Destination:
    from gradlens.mirror.trackers.wandb import WandbMirror

    return WandbMirror(run.path, run.name, key, own)


def _mlflow(run: Run, key: str, own: str | None) -> Destination:
    from gradlens.mirror.trackers.mlflow import MLflowMirror

    return MLflowMirror(run.name, key, own)


def _trackio(run: Run, key: str, own: str | None) -> Destination:
    from gradlens.mirror.trackers.trackio import TrackioMirror

    return TrackioMirror(run.name, key, own)
