"""Compares what two processes have left: exit code, output, notes of each step, and final states."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from gradlens import Run

PROGRESS = re.compile(
    r"\d(it|batch|batches|img|s)/(s|it|batch|img)\b|\?(it|batch|img)/s"
)  # progress lines of tqdm, which depend on the clock
SUMMARY = "Whose gradient did the model follow?"  # the first line of the summary of `gradlens track`
NOISE = 1e-5  # a rest below this fraction of the gradient is the rounding error of a float32 difference
CLOCK = (r"\d+:\d\d:\d\d[.,]?\d*", r"0x[0-9a-f]+", r"\d+\.?\d* ?(ms|s|sec|seconds)\b")


@dataclass(frozen=True)
class Left:
    """What a process has left.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
        folder: Folder with the notes and states.
    """

    code: int
    out: str
    err: str
    folder: Path

    def notes(self) -> dict[str, Any]:
        """Returns what the witness has noted about each step; empty lists if there was no step."""
        path = self.folder / "steps.json"
        found: dict[str, Any] = (
            json.loads(path.read_text()) if path.exists() else {"digests": [], "generators": [], "seconds": []}
        )
        return found

    def said(self) -> list[str]:
        """Returns the lines that gradlens has printed."""
        return [line.removeprefix("gradlens: ") for line in self.err.splitlines() if line.startswith("gradlens: ")]


def without_clock(text: str, patterns: tuple[str, ...]) -> list[str]:
    """Returns the lines of a program without times, progress bars and the lines of gradlens.

    Args:
        text: The output.
        patterns: Regular expressions of further times.
    """
    lines = re.split(r"[\r\n]+", text.partition(SUMMARY)[0])
    text = "\n".join(line.rstrip() for line in lines if line.strip() and not PROGRESS.search(line) and not _ours(line))
    for pattern in (*patterns, *CLOCK):
        text = re.sub(pattern, "~", text)
    return text.splitlines()


def _ours(line: str) -> bool:
    return line.startswith("gradlens: ")


def differences(plain: Left, other: Left, times: tuple[str, ...]) -> list[str]:
    """Returns texts that say in what the second process differs from the first; an empty list if in nothing.

    Args:
        plain: What the first process has left.
        other: What the second process has left.
        times: Regular expressions of times in the output.
    """
    found = []
    if plain.code != other.code:
        found.append(f"exit code {plain.code} became {other.code}")
    for name in ("out", "err"):
        texts = [without_clock(getattr(left, name), times) for left in (plain, other)]
        if texts[0] != texts[1]:
            pair = next((a, b) for a, b in _padded(*texts) if a != b)
            found.append(f"std{name}: {pair[0]!r} became {pair[1]!r}")
    notes = plain.notes(), other.notes()
    if not notes[0]["digests"]:
        found.append("no optimizer step was made")
    for name, key in (("weights", "digests"), ("states of random generators", "generators")):
        equal = [a == b for a, b in _padded(notes[0][key], notes[1][key])]
        if not all(equal):
            found.append(f"{name} after step {equal.index(False)}")
    states = [left.folder / "states.pt" for left in (plain, other)]
    if not all(path.exists() for path in states):
        found.append("no final states")
    elif not same(*(torch.load(path) for path in states)):
        found.append("final states")
    return found


def _padded(first: list[str], second: list[str]) -> list[tuple[str, str]]:
    longest = max(len(first), len(second))
    return [tuple((*x, *[""] * longest)[i] for x in (first, second)) for i in range(longest)]  # type: ignore[misc]


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Says whether two states hold the same tensors, bit for bit."""
    if first.keys() != second.keys() or any(first[key].keys() != second[key].keys() for key in first):
        return False
    pairs = [(first[key][place], second[key][place]) for key in first for place in first[key]]
    return all(a.dtype == b.dtype and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in pairs)


def cost(plain: Left, tracked: Left) -> float | None:
    """Returns the median CPU time of a tracked step over that of a plain step; None if it is not known.

    A step lasts from the end of the step before.
    """
    seconds = [left.notes()["seconds"] for left in (plain, tracked)]
    return None if not all(seconds) else median(seconds[1]) / median(seconds[0])


def rounding(truth: dict[str, Any]) -> float:
    """Returns how much the sum of the groups' gradients by brute force differs from the program's gradient, relative to it.

    If every class is in a group and brute force has every term of the loss, this is the rounding error of the arithmetic.
    """
    return max(float((gram[-1, -1] / gram.sum()).sqrt()) for gram in truth["grams"])


def error(run: Run, truth: dict[str, Any]) -> tuple[int, float]:
    """Returns how many steps were compared with brute force, and the largest error.

    The error of an entry of the Gram matrix is relative to the norms of its two vectors. The error of the norm of the rest is
    relative to the norm of the gradient.
    """
    names, worst, compared = len(run.groups.names), 0.0, 0
    steps = [int(step) for step in truth["steps"]]
    for row, step in enumerate(run.steps):
        at = steps.index(int(step))
        gram, known = truth["grams"][at].numpy(), truth["counts"][at].numpy() > 0
        found = run.gram()[row, :names, :names]
        if (np.isnan(np.diagonal(found)) == known).any():
            return compared, float("inf")
        own = np.ix_(known, known)
        sizes = np.sqrt(np.diagonal(gram)[:-1][known])
        worst = max(worst, float((np.abs(found[own] - gram[:-1, :-1][own]) / np.outer(sizes, sizes)).max()))
        rest, size = float(np.sqrt(gram[-1, -1])), float(np.sqrt(gram.sum()))
        if rest > NOISE * size:
            worst = max(worst, abs(float(np.nan_to_num(run.norm("rest")[row])) - rest) / size)
        compared += 1
    return compared, worst
