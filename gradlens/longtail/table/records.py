"""Reads what is published of the methods (``published.json``) and what was measured here (``measured.json``).

``measured.json`` is written by ``experiments/paper/table_of_methods.py`` from the results of the experiments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gradlens.longtail.methods import METHODS, find_method

HERE = Path(__file__).parent
IMBALANCE = "100"


@dataclass(frozen=True)
class Published:
    """A published number, with the protocol that it comes from.

    Attributes:
        by: Who prints it.
        cifar: Imbalance of CIFAR100-LT -> top-1 accuracy in percent.
        other: Another data set and network -> top-1 accuracy in percent.
        epochs: Epochs of the training.
        epoch: Which epoch is printed: the last, or the best on some images.
        differs: In what else the training differs from the usual one: a ResNet-32 and the plain augmentation.
        seen_in: Where the number was seen: a README, the code, from memory.
    """

    by: str
    cifar: Mapping[str, float]
    other: Mapping[str, float]
    epochs: str
    epoch: str
    differs: str
    seen_in: str

    @property
    def length(self) -> str:
        """Epochs, and which epoch is printed; "" if there is no number."""
        if not self.cifar and not self.other:
            return ""
        epochs = [] if self.epochs == "not stated" else [f"{self.epochs} epochs"]
        return ", ".join([*epochs, "not stated which epoch" if self.epoch == "not stated" else self.epoch])

    @property
    def protocol(self) -> str:
        """The protocol in one line."""
        return "; ".join(part for part in (self.length, self.differs) if part)


@dataclass(frozen=True)
class Record:
    """What is known of a method.

    Attributes:
        name: Its name.
        summary: One line that describes it; "" if the lab does not have it.
        approximate: Why it cannot follow its reference exactly; "" if it does.
        paper: Its paper.
        published: Published numbers.
        accuracy: Trainings measured here: data set, imbalance, epochs, seeds, accuracies, and the file of the results.
        lens: What the lens measured through the phases; empty if nothing was measured.
    """

    name: str
    summary: str
    approximate: str
    paper: str
    published: tuple[Published, ...]
    accuracy: tuple[Mapping[str, Any], ...]
    lens: Mapping[str, Any]

    @property
    def there(self) -> bool:
        """Says whether the lab has the method."""
        return self.name in METHODS


def records() -> list[Record]:
    """Returns a record for each method of the lab, and for those that are published and could not be written."""
    return [_record(name) for name in dict.fromkeys([*METHODS, *_file("published.json")])]


def record(name: str) -> Record:
    """Returns what is known of a method.

    Raises:
        LongTailError: There is no such method.
    """
    if name not in _file("published.json"):
        find_method(name)
    return _record(name)


def _record(name: str) -> Record:
    method = METHODS.get(name)
    facts = _file("published.json").get(name, {"paper": "", "numbers": []})
    measured = _file("measured.json")
    return Record(
        name,
        "" if method is None else method.summary,
        "" if method is None else method.approximate,
        facts["paper"],
        tuple(_published(number) for number in facts["numbers"]),
        tuple(row for row in measured["accuracy"] if row["method"] == name),
        measured["lens"].get(name, {}),
    )


def _published(number: Mapping[str, Any]) -> Published:
    return Published(
        number["by"],
        number.get("cifar100-lt", {}),
        number.get("other", {}),
        str(number["epochs"]),
        number["epoch"],
        number["differs"],
        number["seen_in"],
    )


@cache
def _file(name: str) -> dict[str, Any]:
    return dict(json.loads((HERE / name).read_text("utf-8")))
