"""Says whether two runs are of the same kind: same classes, data set and network. Only then a comparison means something."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Data sets whose names differ only in these endings have the same images, in other numbers.
SUBSETS = ("-lt", "-balanced")


def unlike(a: Run, b: Run) -> list[str]:
    """Returns texts that say in what two runs differ in kind, such as "data set (digits, cifar10)".

    The list is empty if nothing known differs.
    """
    found = []
    if a.groups.units != b.groups.units:
        found.append(f"what the groups are made of ({a.groups.units}, {b.groups.units})")
    elif a.groups.num_classes != b.groups.num_classes:
        found.append(f"number of {a.groups.units} ({a.groups.num_classes}, {b.groups.num_classes})")
    one, other = a.meta.dataset, b.meta.dataset
    if one and other and _whole(one) != _whole(other):
        found.append(f"data set ({one}, {other})")
    # Two runs of the same network may have measured different layers: one may know only some of them.
    layers, others = set(a.layers), set(b.layers)
    if not (layers <= others or others <= layers):
        found.append("layers of the network")
    return found


def _whole(dataset: str) -> str:
    for suffix in SUBSETS:
        dataset = dataset.removesuffix(suffix)
    return dataset
