"""The command line of a training in several processes, run for real."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.training_run import RESULT
from gradlens.runlog import Run

TORCHRUN = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", "-m", "gradlens", "train"]
LISTS = {"train": (25, 22, 3), "val": (1, 1, 1), "test": (1, 1, 1)}


def imagenet(root):
    """Writes a small ImageNet-LT in its layout."""
    for split, counts in LISTS.items():
        lines = []
        for label, count in enumerate(counts):
            for number in range(count):
                name = f"{'val' if split == 'test' else 'train'}/n0{label}/{split}{number}.JPEG"
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 32), (90 * label, 9 * number, 0)).save(root / name)
                lines.append(f"{name} {label}")
        (root / f"ImageNet_LT_{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def run(folder, *arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*TORCHRUN, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_dual_phase_method_on_list_files(tmp_path):
    arguments = ["dual-phase", "imagenet-lt", "--data", imagenet(tmp_path / "data"), "--epochs", 1, "--device", "cpu"]
    arguments += ["--set", "backbone=resnet-10", "--set", "batch=9", "--set", "memory=4"]
    arguments += ["--workers", 0, "--every", 1, "--probe-every", 0, "--max-steps", 2]
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    # one process speaks
    assert done.stdout.count("dual-phase on imagenet-lt: 50 images, 3 classes") == 1
    assert "on cpu in 2 processes" in done.stdout
    assert done.stdout.count("val, last epoch") == 1
    folder = tmp_path / "runs" / "dual-phase-imagenet-lt-s0"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    result = json.loads((folder / RESULT).read_text())
    assert result["processes"] == 2
    assert [row["phase"] for row in result["history"]] == ["I", "II"]
    assert all(np.isfinite(row["loss"]) for row in result["history"])
    read = Run(folder)
    assert read.status.state == "finished"
    # two batches of the 47 head images; then 2 x 4 of memory and 3 of the tail: 9 and 2
    assert read.steps.tolist() == list(range(4))
    assert read.counts.sum(1).tolist() == [9, 9, 9, 2]
    # float32, and BatchNorm over five images of one colour each, which divides by next to nothing
    assert np.nanmax(read.residual) < 1e-2
    assert [event["processes"] for event in read.events if event["kind"] == "processes"] == [2, 2]
    stored = torch.load(folder / FILE, weights_only=True)
    assert (stored["phase"], stored["epoch"]) == (1, 1)
    # again: there is nothing to do
    before = (folder / RESULT).read_bytes()
    again = run(tmp_path, *arguments, "--resume")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (folder / RESULT).read_bytes() == before


@pytest.mark.slow
def test_an_error_is_told_and_ends_all_processes(tmp_path):
    done = run(tmp_path, "ce", "imagenet-lt", "--data", tmp_path / "absent", "--device", "cpu")
    assert done.returncode != 0
    assert "gradlens: error: ImageNet-LT not found" in done.stderr
    assert not (tmp_path / "runs").exists()
