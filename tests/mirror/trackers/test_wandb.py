"""W&B offline: what its file holds, as far as it can be read."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("wandb", reason="needs: pip install wandb")

from gradlens.mirror.destination import Point
from gradlens.mirror.mirroring import Mirroring
from gradlens.mirror.trackers.wandb import STEP, WandbMirror, history
from gradlens.runlog import Run
from tests.mirror.runs import begin, expect, made

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-own"))


def read(folder, run_id):
    found: dict[str, dict[int, float]] = {}
    files = sorted(folder.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb"))
    for file in files:
        for values in history(file):
            for name, value in values.items():
                if name.startswith("gradlens") and name not in (STEP, "gradlens/time"):
                    assert values[STEP] not in found.setdefault(name, {}), f"{name} stands twice at step {values[STEP]}"
                    found[name][values[STEP]] = value
    return found, len(files)


def mirror(run, own=None):
    tracker = WandbMirror(run.path, run.name, run.meta.id, own)
    Mirroring(run, "wandb", tracker, print).catch_up()
    tracker.close(over=True)
    return tracker._id


def test_a_run_and_what_was_added_to_it(tmp_path):
    run = made(tmp_path / "run", range(0, 8, 2))
    name = mirror(run)
    assert name == f"gradlens-{run.meta.id}"
    found, files = read(run.path, name)
    expect(found, range(0, 8, 2))
    mirror(run)
    assert read(run.path, name)[1] == files == 1  # nothing new: W&B is not begun again
    begin(run.path, range(8, 10), resume=True).close()
    mirror(Run(run.path))
    found, files = read(run.path, name)
    assert files == 2
    assert sorted(found["gradlens/head/cosine"]) == [0, 2, 4, 6, 8, 9]


def test_what_w_and_b_had_not_written_is_written_again(tmp_path):
    run = made(tmp_path / "run", range(0, 40, 2))
    name = mirror(run)
    (file,) = run.path.glob("wandb/offline-run-*/*.wandb")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    kept = len(list(history(file)))
    assert 0 < kept < 41
    mirror(run)
    expect(read(run.path, name)[0], range(0, 40, 2))


def test_the_run_of_the_user_and_values_that_are_no_number(tmp_path):
    tracker = WandbMirror(tmp_path, "run", "key", "mine")
    tracker.write([Point(3, 1.0, {"gradlens/a/norm": math.nan, "gradlens/b/norm": 2.0})])
    tracker.close(over=True)
    found, _ = read(tmp_path, "mine")
    assert math.isnan(float(found["gradlens/a/norm"][3]))
    assert found["gradlens/b/norm"] == {3: 2.0}
