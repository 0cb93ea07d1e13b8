"""Simulated runs of the same distribution, and the verdicts of Figure 1's claims on pairs of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from recorded_series import smooth_course
from simulated_series import noise

from gradlens import ClassGroups, Run
from gradlens.analysis.figure1_claims import figure1_claims
from gradlens.estimation.intervals import Floats


@dataclass(frozen=True)
class Simulated:
    """A simulated run, with the methods that the claims use.

    Attributes:
        name: Name of the run.
        columns: Name -> [T] series.
        groups: The groups.
    """

    name: str
    columns: dict[str, Floats]
    groups: ClassGroups = field(default_factory=lambda: ClassGroups.parse("head=0-6,tail=7-9", 10))

    @property
    def steps(self) -> np.ndarray[Any, Any]:
        """[T] measured steps: every 10th step."""
        return 10 * np.arange(len(self))

    def __len__(self) -> int:
        return len(self.columns["cosine head"])

    def cosine(self, name: str) -> Floats:
        """Returns [T] cosines of a group's gradient with the overall gradient."""
        return self.columns[f"cosine {name}"]

    def share(self, name: str) -> Floats:
        """Returns [T] shares of the update of a group."""
        return self.columns[f"share {name}"]

    def norm(self, name: str, per: str = "contribution") -> Floats:
        """Returns [T] norms of a group's gradient, or of the overall gradient ("all")."""
        return self.columns["norm all" if name == "all" else f"{per} {name}"]


def from_vectors(steps: int, phi: float, heavy: bool, rng: np.random.Generator) -> Simulated:
    """Returns a run with gradients of head and tail in 20 dimensions, whose size falls over the training."""
    size = np.exp(-np.arange(steps) / steps)[:, None] * np.exp(0.3 * noise(steps, 2, phi, heavy, rng))
    directions = noise(steps, 40, 0.0, heavy, rng).reshape(steps, 2, 20) / 5
    directions[..., 0] += 1
    vectors = directions * (size * (1.0, 0.3))[..., None]
    g = vectors.sum(1)
    length = np.linalg.norm(g, axis=1)
    columns = {"norm all": length}
    count = 1 + rng.poisson(3, steps)
    for k, group in enumerate(("head", "tail")):
        own, dot = np.linalg.norm(vectors[:, k], axis=1), (vectors[:, k] * g).sum(1)
        columns |= {
            f"cosine {group}": dot / own / length,
            f"share {group}": dot / length**2,
            f"contribution {group}": own,
        }
        columns[f"mean {group}"] = own * 64 / (count if group == "tail" else 64 - count)
    return Simulated("simulated", columns)


def like(run: Run) -> Callable[[np.random.Generator], Simulated]:
    """Returns a function that makes runs like a recorded one: its smooth course, plus its deviations.

    Whole steps are drawn with replacement.
    """
    names = run.groups.names[0], run.groups.names[-1]
    columns = {"norm all": run.norm("all")}
    for role, name in zip(("head", "tail"), names, strict=True):
        columns |= {f"cosine {role}": run.cosine(name), f"share {role}": run.share(name)}
        columns |= {f"{per} {role}": run.norm(name, per=per) for per in ("contribution", "mean")}
    logarithms = {name for name in columns if not name.startswith(("cosine", "share"))}
    scaled = {name: np.log(values) if name in logarithms else values for name, values in columns.items()}
    courses = {name: smooth_course(values) for name, values in scaled.items()}

    def made(rng: np.random.Generator) -> Simulated:
        drawn = rng.integers(0, len(run), len(run))
        simulated = {name: courses[name] + (values - courses[name])[drawn] for name, values in scaled.items()}
        return Simulated("like", {name: np.exp(v) if name in logarithms else v for name, v in simulated.items()})

    return made


def verdicts(pairs: int, make: Callable[[], Simulated]) -> list[dict[str, Any]]:
    """Returns rows with the verdicts on pairs of runs of the same distribution.

    A claim that compares both runs is wrong unless it is undecided.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    any_wrong = 0
    for _ in range(pairs):
        claims = figure1_claims(make(), make())  # type: ignore[arg-type]
        both = [claim for claim in claims if "balanced" in claim.measure]
        any_wrong += any(claim.supported is not None for claim in both)
        for claim in claims:
            counts.setdefault((claim.measure, claim.convention), Counter())[
                "no interval" if claim.low is None else claim.verdict
            ] += 1
    rows = [
        {"claim": f"{measure} [{per}]", "two runs": "balanced" in measure}
        | {word: found[word] / pairs for word in ("supported", "contradicted", "undecided", "no interval")}
        for (measure, per), found in counts.items()
    ]
    return [*rows, {"claim": "any of those about two runs", "two runs": True, "wrong": any_wrong / pairs}]
