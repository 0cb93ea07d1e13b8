"""Makes the lens of a tracked script, and prints the line that says what was found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.groups import ClassGroups
from gradlens.tracking.attach.tracked_lens import TrackedLens
from gradlens.tracking.find.evidence import Evidence
from gradlens.tracking.find.group_choice import DATA
from gradlens.tracking.find.models import Owners
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions

# The value of torch.initial_seed() if the script has set no seed.
UNSEEDED = 67280421310721


def attach(
    options: TrackOptions,
    folder: Path,
    groups: ClassGroups,
    num_classes: int,
    counts: NDArray[np.int64] | None,
    owners: Owners,
    roots: Sequence[Tensor],
    evidence: Evidence,
    *,
    resume: bool = False,
) -> TrackedLens:
    """Makes the lens and chooses its engine.

    Args:
        options: The options of the command line.
        folder: The run's folder.
        groups: The groups to measure.
        num_classes: C, the number of classes of the logits; the groups may have more.
        counts: [C] class counts; None if they are not known.
        owners: The model and its optimizer.
        roots: The tensors that the first backward pass differentiates.
        evidence: Anchors and labels of that pass.
        resume: Whether to continue the run in the folder, with another model.

    Raises:
        TeamError: Other processes train the same model, and it cannot be measured with them.
        RunError: The folder cannot be used.
    """
    lens = TrackedLens(
        owners.model,
        groups,
        out=None if options.follows else folder,
        optimizer=owners.optimizer,
        every=options.every,
        budget=None if options.every is not None else options.budget,
        engine=options.engine,
        layers=options.layers,
        update=options.update,
        strict=options.strict,
        class_counts=None if counts is None else counts.tolist(),
        meta=_facts(owners, evidence, num_classes),
        resume=resume,
        # Printed, not issued as Python warnings: a script may turn warnings into errors.
        announce=say,
    )
    lens.check_ahead(roots, evidence.anchors, evidence.dims, several=bool(evidence.labelled))
    return lens


def _facts(owners: Owners, evidence: Evidence, num_classes: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "command": tuple(sys.orig_argv),
        "extra": {
            "tracked": True,
            "model": owners.name,
            "outputs": num_classes if evidence.members is None else evidence.num_classes,
            "anchor": evidence.function,
            "optimizers": owners.optimizers,
            **({"labels": evidence.source} if evidence.source else {}),
            **({"attribution": "by class mass"} if evidence.by_mass else {}),
        },
    }
    seed = torch.initial_seed()
    return facts if seed == UNSEEDED else facts | {"seed": seed}


def announce(
    options: TrackOptions, folder: Path, owners: Owners, evidence: Evidence, groups: str, engine: str | None = None
) -> None:
    """Prints the line that says what was found.

    Args:
        options: The options of the command line.
        folder: The run's folder.
        owners: The model and its optimizer.
        evidence: Anchors and labels of the first backward pass.
        groups: Text: the groups, or how they will be found.
        engine: Text of ``engine_of``; None if the engine is not known yet.
    """
    parameters = sum(p.numel() for p in owners.model.parameters() if p.requires_grad)
    anchors = " + ".join(str(list(anchor.shape)) for anchor in evidence.anchors)
    labels = f"{str(evidence.labels.dtype).removeprefix('torch.')} {list(evidence.labels.shape)}"
    parts = [
        f"model {owners.name} ({parameters:,} parameters)",
        f"anchor {anchors} at {evidence.function}",
        f"labels {labels}{evidence.source and f' {evidence.source}'}{_attribution(evidence)}",
        f"groups {groups}",
        *([] if engine is None else [engine]),
        options.cadence,
        f"run {_shown(folder)}",
    ]
    say(", ".join(parts))


def engine_of(lens: TrackedLens, asked: str) -> str:
    """Returns a text with the engine's name, and the reason if it is not the one that the options name."""
    name = lens.engine_name
    return f"engine {name}" if asked in ("auto", name) else f"engine {name} ({lens.engine_reason})"


def _attribution(evidence: Evidence) -> str:
    """Returns a text that says how a row's contribution is divided among groups, if a row has several labels; else ""."""
    if any(item.terms for item in evidence.labelled):
        return " (each loss call by its own labels)"
    return " (class masses share out each row)" if evidence.by_mass else ""


def described(groups: ClassGroups, *, known: bool) -> str:
    """Returns a text with the names, sizes and rule of groups.

    Args:
        groups: The groups.
        known: Whether the number of classes is final; if not, the text says "so far".
    """
    sizes = [f"{name} {len(ids)}" for name, ids in zip(groups.names[:4], groups.classes[:4], strict=True)]
    more = f" + {len(groups) - 4} more" if len(groups) > 4 else ""
    of, so_far = "outputs" if DATA in groups.rule else groups.units, "" if known else " so far"
    return f"{' + '.join(sizes)}{more} of {groups.num_classes} {of}{so_far} ({groups.rule})"


def _shown(folder: Path) -> str:
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
