"""The same program without and with tracking, as real processes."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradlens.runlog import Run
from tests.tracking.processes import Outcome, plain, tracked

SCRIPTS = Path(__file__).parent / "scripts"
EVERY = ("--every", "1")


@dataclass(frozen=True)
class Both:
    """The same program without and with tracking."""

    untracked: Outcome
    tracked: Outcome
    folder: Path

    @property
    def run(self) -> Run:
        """The run that tracking left."""
        return Run(next((self.folder / "tracked" / "runs").iterdir()))

    def assert_same_training(self) -> None:
        """The same weights to the last bit, output, errors and exit code."""
        assert self.tracked.out == self.untracked.out
        found, expected = (
            outcome.err.split("Whose gradient")[0].replace(str(self.folder / name), "")
            for name, outcome in (("tracked", self.tracked), ("plain", self.untracked))
        )
        assert found == expected
        assert self.tracked.code == self.untracked.code
        found, expected = (torch.load(self.folder / name / "model.pt") for name in ("tracked", "plain"))
        assert_equal(found, expected)


def assert_equal(found: Any, expected: Any) -> None:
    """Bit by bit, through any nesting."""
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_equal(a, b)
    else:
        assert found == expected


def run_both(tmp_path: Path, script: str, *arguments: str, options: tuple[str, ...] = EVERY) -> Both:
    for name in ("plain", "tracked"):
        shutil.copytree(SCRIPTS, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with ThreadPoolExecutor(2) as pool:
        a = pool.submit(plain, tmp_path / "plain", script, *arguments)
        b = pool.submit(tracked, tmp_path / "tracked", script, *arguments, options=options)
        return Both(a.result(), b.result(), tmp_path)


def said(outcome: Outcome, text: str) -> bool:
    return any(text in line for line in outcome.said)
