"""The values that a batch holds: whole numbers or texts, one for each sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gradlens import ClassGroups
from gradlens.batch.members import NO_SAMPLE
from gradlens.batch.rows import LabelsError
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.find.batch_path import parse_path
from gradlens.tracking.find.evidence import Evidence
from gradlens.tracking.members.member_values import MemberValues, ids_of
from gradlens.tracking.options import TrackOptions

PATH = parse_path("batch.domain", "--members")
TEXTS = ClassGroups.of_attribute("domain", ["photo", "sketch"])


@pytest.mark.parametrize(
    "held",
    [torch.tensor([2, 0, -1]), [2, 0, -1], (2, 0, -1), np.array([2, 0, -1]), torch.tensor([[2], [0], [-1]]).int()],
)
def test_numbers(held: object) -> None:
    assert ids_of(held, PATH, None).tolist() == [2, 0, NO_SAMPLE]  # -1: not known


def test_texts_by_the_names_of_the_options() -> None:
    assert ids_of(["sketch", "photo", "cartoon"], PATH, TEXTS).tolist() == [1, 0, NO_SAMPLE]


@pytest.mark.parametrize(
    ("held", "named", "says"),
    [
        (["photo", "sketch"], None, "the values are texts .'photo'.; name them: --groups"),
        (torch.tensor([0, 1]), TEXTS, "the values are numbers, but --groups names texts"),
        (torch.tensor([0.0, 1.0]), None, "whole numbers or texts"),
        (["photo", 1], None, "whole numbers or texts"),
        ({"a": 1}, None, "whole numbers or texts"),
        (None, None, "whole numbers or texts"),
        (torch.zeros(2, 3).long(), None, "is not one value for each sample"),
        (torch.tensor(3), None, "is not one value for each sample"),
    ],
)
def test_other_things_are_refused(held: object, named: ClassGroups | None, says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        ids_of(held, PATH, named)


def beside(batch: dict[str, Any], evidence: Evidence) -> list[int]:
    values = MemberValues(TrackOptions(members=PATH.text), [batch], lambda error: pytest.fail(str(error)))
    try:
        found = values.beside(evidence)
    finally:
        values.stop()
    assert found is not None
    assert found.members is not None
    return found.members.tolist()


BATCH = {"x": torch.zeros(4, 2), "y": torch.tensor([0, 1, 0, 1]), "domain": torch.tensor([3, 4, 5, 6])}
LOGITS = torch.zeros(4, 2, requires_grad=True) * 1


def test_the_rows_of_a_loss_get_the_values_of_their_samples() -> None:
    assert beside(BATCH, Evidence([LOGITS], BATCH["y"].clone(), -100, 2, "cross_entropy")) == [3, 4, 5, 6]


def test_an_auxiliary_head_has_the_same_samples() -> None:
    assert beside(BATCH, Evidence([LOGITS, LOGITS * 2], BATCH["y"], -100, 2, "cross_entropy")) == [3, 4, 5, 6]


def test_two_chunks_with_equal_labels_are_not_taken_for_each_other() -> None:
    with pytest.raises(LabelsError, match="it is not certain which samples"):
        beside(BATCH, Evidence([LOGITS[:2], LOGITS[2:]], BATCH["y"][:2], -100, 2, "cross_entropy"))


def test_labels_that_are_in_no_batch_have_no_values() -> None:
    with pytest.raises(LabelsError, match="it is not certain which samples"):
        beside(BATCH, Evidence([LOGITS], torch.tensor([1, 1, 0, 0]), -100, 2, "cross_entropy"))


def test_mixed_samples_have_no_single_value() -> None:
    with pytest.raises(LabelsError, match="a row has no single value"):
        beside(BATCH, Evidence([LOGITS], torch.full((4, 2), 0.5), -100, 2, "cross_entropy"))
