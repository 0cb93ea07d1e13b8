"""The runner of other people's programs, on repositories made up here, as real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[2] / "experiments" / "programs" / "run.py"
TRAINING = """
import sys, time
import torch
from torch.utils.data import DataLoader, TensorDataset

model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(), torch.nn.Linear(8, 3))
data = TensorDataset(torch.randn(48, 4), torch.arange(48) % 3)
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(2):
    for x, y in DataLoader(data, 8, shuffle=True):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item()}, {time.time():.6f} s")
"""
SPOILED = "        if 'gradlens' in sys.modules: optimizer.param_groups[0]['lr'] = 1.0\n        optimizer.step()"
TABLE = """
from program import Program
PACKAGES = ("torchvision",)
PROGRAMS = (
    Program("same", "somebody/same", "{same}", "noise", ("train.py",), exact=True),
    Program("other", "somebody/other", "{other}", "noise", ("train.py",), interrupted=3),
)
"""


def repository(folder: Path, text: str) -> str:
    """Makes a checkout with a training script; returns its commit."""
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(text)
    own = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (["init", "-q"], ["add", "."], [*own, "commit", "-qm", "script"], ["rev-parse", "HEAD"]):
        done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def made(tmp_path):
    """A folder with two checkouts and a table of them."""
    commits = {
        name: repository(tmp_path / "source" / name, text)
        for name, text in {"same": TRAINING, "other": TRAINING.replace("        optimizer.step()", SPOILED)}.items()
    }
    (tmp_path / "table.py").write_text(TABLE.format(**commits))
    return tmp_path


def run(made: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUNNER), "--table", "table.py", "--source", "source", "--results", "."]
    return subprocess.run([*command, *arguments], cwd=made, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
def test_same_training_is_the_same_and_exact(made):
    done = run(made, "--some", "same")

    assert done.returncode == 0, done.stderr
    (row,) = json.loads((made / "programs.json").read_text())["programs"]
    assert row["differences"] == []
    assert (row["code"], row["steps"], row["measured"], row["compared"]) == (0, 12, 12, 12)
    assert 0 < row["error"] < 2e-7
    assert "| noise | 12 of 12 | yes |" in (made / "PROGRAMS.md").read_text()


@pytest.mark.slow
def test_training_that_changes_under_track_is_told(made):
    done = run(made, "--some", "other")

    assert done.returncode == 0, done.stderr
    (row,) = json.loads((made / "programs.json").read_text())["programs"]
    assert row["differences"] == ["weights after step 0", "final states"]
    assert row["code"] == -2
    assert row["steps"] == 3
    assert "**no**: weights after step 0" in (made / "PROGRAMS.md").read_text()


def test_changed_checkout_is_refused(made):
    (made / "source" / "same" / "train.py").write_text(TRAINING + "\n")

    done = run(made, "--some", "same")

    assert done.returncode == 1
    assert "git diff --diff-filter=d --name-only HEAD says 'train.py'" in done.stderr


@pytest.mark.slow
def test_recipe_names_every_repository(made):
    done = run(made, "--list")

    assert [line.split()[2] for line in done.stdout.splitlines()] == [
        "https://github.com/somebody/same",
        "https://github.com/somebody/other",
    ]


def test_each_program_that_is_measured_has_an_error_or_says_why_not():
    results = RUNNER.parents[1] / "results"
    page = (results / "PROGRAMS.md").read_text()
    for row in json.loads((results / "programs.json").read_text())["programs"]:
        if row["measured"] and row["error"] is None:
            assert any(remark.startswith("no error and rounding: ") for remark in row["remarks"]), row["name"]
        assert all(remark in page for remark in row["remarks"])
