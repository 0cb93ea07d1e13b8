"""A path into a batch is read, followed, and refused with words that say what the batch holds."""

from __future__ import annotations

from collections import UserDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from gradlens.tracking.errors import TrackError, WrongUse
from gradlens.tracking.find.batch_path import described, parse_path, tensors_of

X, Y, Z = torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor([3, 3, 1, 1])
Pair = namedtuple("Pair", ["image", "label"])


@dataclass
class Sample:
    image: Any
    label: Any


class Graph:
    """Like the data of PyTorch Geometric: it has keys, items and attributes."""

    y = Y

    def keys(self) -> list[str]:
        return ["x", "y"]

    def __getitem__(self, key: str) -> Any:
        return {"x": X, "y": Y}[key]


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("batch", Y),
        ("batch[1]", (X, Y)),
        ("batch[-1]", [X, Y]),
        ("batch.label", {"image": X, "label": Y}),
        ("batch.label", Sample(X, Y)),
        ("batch.label", Pair(X, Y)),
        ('batch["label"]', {"label": Y}),
        ("batch['label']", UserDict(label=Y)),
        ("batch[label]", {"label": Y}),
        ("batch['the label']", {"the label": Y}),
        ("batch[1].label", (X, {"label": Y})),
        ("batch.meta[1]['domain']", {"meta": [X, {"domain": Y}]}),
        ("batch.y", Graph()),
        ("batch.values", {"values": Y}),
        (" batch[1] ", (X, Y)),
    ],
)
def test_a_path_leads_to_its_place(text: str, batch: Any) -> None:
    assert parse_path(text, "--labels").of(batch, "--labels") is Y


@pytest.mark.parametrize(
    "text", ["", "label", "batches[1]", "batch[", "batch[1", "batch.1", "batch..y", "batch[1]y", "batch[]"]
)
def test_a_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(TrackError, match=r"--members .* is no place in a batch; write batch\[1\], batch.label"):
        parse_path(text, "--members")


def test_a_place_that_is_not_there_is_said_with_what_is() -> None:
    batch = (X, {"label": Y, "domain": Z})
    with pytest.raises(WrongUse) as told:
        parse_path("batch[1].lable", "--labels").of(batch, "--labels")
    assert str(told.value) == (
        "--labels batch[1].lable: there is no .lable at batch[1]; the batch is a tuple of [0] float32 [4, 3], "
        "[1] a dict of ['label'] int64 [4], ['domain'] int64 [4]; name one of batch[0], batch[1]['label'], batch[1]['domain']"
    )


def test_an_object_of_the_script_may_raise_anything() -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError(name)

    with pytest.raises(WrongUse, match=r"there is no \.label; the batch is an Odd"):
        parse_path("batch.label", "--labels").of(Odd(), "--labels")


def test_tensors_are_listed_by_paths_that_lead_to_them() -> None:
    batch = {"pixels": X, "meta": [Pair(Z, Y), "a name", 3]}
    found = tensors_of(batch)
    assert list(found) == ["batch['pixels']", "batch['meta'][0].image", "batch['meta'][0].label"]
    assert all(parse_path(path, "--labels").of(batch, "--labels") is tensor for path, tensor in found.items())
    assert list(tensors_of(Graph())) == ["batch['x']", "batch['y']"]
    assert tensors_of("text") == {}


def test_a_batch_of_very_many_parts_is_described_shortly() -> None:
    assert described([X] * 100).endswith("[7] float32 [4, 3], ...")
    nested: list[Any] = []
    nested.append(nested)
    assert tensors_of(nested) == {}
