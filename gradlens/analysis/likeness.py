"""Whether two runs are trainings of the same kind, so that what differs between them says something."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlens.runlog import Run

# What the name of a data set ends with where only the numbers of images differ.
SUBSETS = ("-lt", "-balanced")


def unlike(a: Run, b: Run) -> list[str]:
    """Returns in what two runs are of different kinds: "data set (digits, cifar10)"; what is not known of either is left out."""
    found = []
    if a.groups.num_classes != b.groups.num_classes:
        found.append(f"number of classes ({a.groups.num_classes}, {b.groups.num_classes})")
    one, other = a.meta.dataset, b.meta.dataset
    if one and other and _whole(one) != _whole(other):
        found.append(f"data set ({one}, {other})")
    # Of one network, a run may know some layers only.
    layers, others = set(a.layers), set(b.layers)
    if not (layers <= others or others <= layers):
        found.append("layers of the network")
    return found


def _whole(dataset: str) -> str:
    for suffix in SUBSETS:
        dataset = dataset.removesuffix(suffix)
    return dataset
