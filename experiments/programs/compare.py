"""What two processes left, compared."""

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
)  # lines that tqdm draws by the clock
SUMMARY = "Whose gradient did the model follow?"  # what `gradlens track` says after the program's end
NOISE = 1e-5  # of the gradient: a rest below it is the rounding of a float32 difference
CLOCK = (r"\d+:\d\d:\d\d[.,]?\d*", r"0x[0-9a-f]+", r"\d+\.?\d* ?(ms|s|sec|seconds)\b")


@dataclass(frozen=True)
class Left:
    """What a process left behind."""

    code: int
    out: str
    err: str
    folder: Path

    def notes(self) -> dict[str, Any]:
        """Returns what the witness noted of the steps; nothing where the program made none."""
        path = self.folder / "steps.json"
        found: dict[str, Any] = (
            json.loads(path.read_text()) if path.exists() else {"digests": [], "generators": [], "seconds": []}
        )
        return found

    def said(self) -> list[str]:
        """Returns the lines of gradlens."""
        return [line.removeprefix("gradlens: ") for line in self.err.splitlines() if line.startswith("gradlens: ")]


def without_clock(text: str, patterns: tuple[str, ...]) -> list[str]:
    """Returns a program's lines without times, progress bars and the lines of gradlens."""
    lines = re.split(r"[\r\n]+", text.partition(SUMMARY)[0])
    text = "\n".join(line.rstrip() for line in lines if line.strip() and not PROGRESS.search(line) and not _ours(line))
    for pattern in (*patterns, *CLOCK):
        text = re.sub(pattern, "~", text)
    return text.splitlines()


def _ours(line: str) -> bool:
    return line.startswith("gradlens: ")


def differences(plain: Left, other: Left, times: tuple[str, ...]) -> list[str]:
    """Returns in what the second process differs from the first, for people; empty where in nothing."""
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
    """Tells whether states hold the same tensors, to the last bit."""
    if first.keys() != second.keys() or any(first[key].keys() != second[key].keys() for key in first):
        return False
    pairs = [(first[key][place], second[key][place]) for key in first for place in first[key]]
    return all(a.dtype == b.dtype and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in pairs)


def cost(plain: Left, tracked: Left) -> float | None:
    """Returns the median processor time of a tracked step, from the end of the one before, over that of a plain one."""
    seconds = [left.notes()["seconds"] for left in (plain, tracked)]
    return None if not all(seconds) else median(seconds[1]) / median(seconds[0])


def rounding(truth: dict[str, Any]) -> float:
    """Returns how far the parts of brute force are from adding up to the program's own gradient, relative to it.

    Where every class is in a group and every term of the loss in brute force, that is what the arithmetic itself loses.
    """
    return max(float((gram[-1, -1] / gram.sum()).sqrt()) for gram in truth["grams"])


def error(run: Run, truth: dict[str, Any]) -> tuple[int, float]:
    """Returns how many steps were compared with brute force, and the largest error.

    The error of a Gram entry is in units of the two vectors' norms; that of the rest's norm in units of the gradient's.
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
