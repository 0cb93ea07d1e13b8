"""MLflow's store in a file, read back by MLflow's client."""

from __future__ import annotations

import math
import sys

import pytest

pytest.importorskip("mlflow", reason="needs: pip install mlflow")
import mlflow

from gradlens.mirror.destination import Point
from gradlens.mirror.errors import MirrorError
from gradlens.mirror.mirroring import Mirroring
from gradlens.mirror.trackers.mlflow import MLflowMirror
from tests.mirror.runs import begin, expect, made

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "files"])
def store(request, tmp_path, monkeypatch):
    if request.param == "sqlite":
        pytest.importorskip("sqlalchemy", reason="needs: pip install sqlalchemy alembic")
    else:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow asks for it since it prefers databases
    address = f"sqlite:///{tmp_path}/mlflow.db" if request.param == "sqlite" else (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.chdir(tmp_path)
    return mlflow.MlflowClient()


def read(client, run_id):
    found = {}
    for name in client.get_run(run_id).data.metrics:
        history = client.get_metric_history(run_id, name)
        found[name] = {metric.step: metric.value for metric in history}
        assert len(history) == len(found[name]), f"{name} stands twice at a step"
    return found


def mirror(run, own=None):
    tracker = MLflowMirror(run.name, run.meta.id, own)
    Mirroring(run, "mlflow", tracker, print).catch_up()
    tracker.close(over=True)
    return tracker._id


def test_a_run_of_its_own_is_found_again(store, tmp_path):
    run = made(tmp_path / "run", range(0, 8, 2))
    first = mirror(run)
    expect(read(store, first), range(0, 8, 2))
    assert store.get_run(first).info.status == "FINISHED"
    assert mirror(run) == first
    for path in run.path.glob("mirror-*"):
        text = path.read_text()
        path.write_text(text.replace('"pending": null', '"pending": 0').replace('"step": 6', '"step": 2'))
    mirror(run)  # as after a kill: what stands there is not written again
    expect(read(store, first), range(0, 8, 2))
    begin(run.path, range(8, 10), resume=True).close()
    run.refresh()
    mirror(run)
    assert sorted(read(store, first)["gradlens/head/cosine"]) == [0, 2, 4, 6, 8, 9]


def test_the_run_of_the_user_keeps_its_own_metrics(store, tmp_path):
    own = store.create_run(store.create_experiment("mine")).info.run_id
    store.log_metric(own, "val_loss", 0.5, step=1)
    run = made(tmp_path / "run", range(3))
    assert mirror(run, own) == own
    assert read(store, own)["val_loss"] == {1: 0.5}
    assert store.get_run(own).info.status == "RUNNING"  # it is the user's to end
    with pytest.raises(MirrorError, match="see MLFLOW_TRACKING_URI and --run-id"):
        mirror(run, "0" * 32)


def test_odd_names_and_values(store, tmp_path):
    tracker = MLflowMirror("run", "key", None)
    tracker.write([Point(1, 1e9, {"gradlens/a+b/norm": math.nan, "gradlens/c/norm": 2.0})])
    found = read(store, tracker._id)
    assert math.isnan(found["gradlens/a_b/norm"][1])
    assert found["gradlens/c/norm"] == {1: 2.0}
    with pytest.raises(MirrorError, match=r"MLflow takes .* for the same metric; rename a group"):
        tracker.write([Point(2, 1e9, {"gradlens/a+b/norm": 1.0, "gradlens/a%b/norm": 2.0})])
    assert sys.float_info.max not in found["gradlens/c/norm"].values()
