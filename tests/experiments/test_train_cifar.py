"""The plain training script on real data, and what it says without."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "train_cifar.py"


def run(*arguments, cwd):
    environment = {key: value for key, value in os.environ.items() if key != "GRADLENS_DATA"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )


def test_missing_data_ends_with_one_clear_message(tmp_path):
    done = run("--data", str(tmp_path / "nowhere"), cwd=tmp_path)
    assert done.returncode == 1
    assert "cifar100 not found" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_does_not_know_of_tracking():
    source = SCRIPT.read_text()
    imported = {
        line.split()[1] for line in source.splitlines() if line.startswith(("from gradlens", "import gradlens"))
    }
    assert imported
    assert all(module.startswith("gradlens.longtail") for module in imported)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "images"), [((), 10847), (("--balanced",), 10847)], ids=["long-tailed", "balanced"])
def test_a_few_steps_on_real_data(tmp_path, cifar100_root, kind, images):
    results = tmp_path / "results.json"
    done = run(
        "--data",
        str(cifar100_root),
        "--epochs",
        "1",
        "--max-steps",
        "3",
        "--results",
        str(results),
        *kind,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(results.read_text())
    assert written["images"] == images
    assert set(written["epochs"][0]) >= {"many", "medium", "few", "overall", "loss"}
