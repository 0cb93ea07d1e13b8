"""A tracker is opened by its name; what is missing or does not fit is said with the fix."""

import sys

import pytest

from gradlens.mirror.choice import opened
from gradlens.mirror.errors import MirrorError
from tests.mirror.runs import made


def open_as(run, to, **options):
    return opened(run, to, **{"logdir": None, "own_id": None, "mlflow_id": None, **options})


def test_what_cannot_be_opened_is_said(tmp_path, monkeypatch):
    run = made(tmp_path / "run", range(2))
    with pytest.raises(
        MirrorError, match="cannot mirror to 'neptune'; choose one of tensorboard, wandb, mlflow, trackio"
    ):
        open_as(run, "neptune")
    with pytest.raises(MirrorError, match="--run-id is not an option of wandb, which takes --id"):
        open_as(run, "wandb", mlflow_id="x")
    for to, module in (("tensorboard", "tensorboard.compat.proto"), ("wandb", "wandb"), ("mlflow", "mlflow"),
                       ("trackio", "trackio.sqlite_storage")):  # fmt: skip
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MirrorError, match=f"the package {to} must be installed: pip install {to}"):
            open_as(run, to)


def test_tensorboard_stands_in_the_folder_of_the_run(tmp_path):
    pytest.importorskip("tensorboard")
    run = made(tmp_path / "run", range(2))
    assert open_as(run, "tensorboard").place == str(tmp_path / "run" / "tensorboard")
    assert open_as(run, "tensorboard", logdir=tmp_path / "logs").place == str(tmp_path / "logs")
