"""Which outputs of a model have a row for each label, and how outputs are recorded without a trace."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from gradlens.batch.anchors import REMEMBERED, AnchorWatch, row_tensors, tensors_in
from gradlens.batch.rows import LabelsError


def differentiable(*shape: int) -> Tensor:
    return torch.zeros(shape, requires_grad=True)


def test_outputs_with_a_row_for_each_label_are_the_anchors():
    logits, features, other, fixed = differentiable(4, 3), differentiable(4, 7), differentiable(5, 3), torch.zeros(4, 3)
    found = row_tensors([{"logits": logits, "rest": (features, other, fixed, None)}, logits], torch.zeros(4).long())
    assert list(map(id, found)) == [id(logits), id(features)]


@pytest.mark.parametrize(
    ("shape", "labels", "fits"),
    [
        ((4, 6, 3), (4, 6), True),  # [B, T, C]
        ((4, 3, 6), (4, 6), True),  # [B, C, T], as cross-entropy takes it
        ((4, 3, 6), (4, 5), False),
        ((4,), (4,), True),
    ],
)
def test_labels_of_several_dimensions(shape, labels, fits):
    anchor = differentiable(*shape)
    if fits:
        assert row_tensors([anchor], torch.zeros(labels).long()) == [anchor]
    else:
        with pytest.raises(
            LabelsError, match=r"labels of shape \[4, 5\] fit none of the model's outputs \(\[4, 3, 6\]\)"
        ):
            row_tensors([anchor], torch.zeros(labels).long())


def test_masses_need_the_number_of_samples_only():
    anchor = differentiable(4, 9)
    assert row_tensors([anchor], torch.rand(4, 3)) == [anchor]


def test_no_outputs_at_all_is_another_error():
    with pytest.raises(LabelsError, match="no output of the model was seen"):
        row_tensors([None, {}], torch.zeros(4).long())


def test_tensors_are_found_in_any_nesting():
    @dataclass
    class Output:
        loss: Tensor
        layers: tuple[Tensor, ...]
        name: str

    a, b, c = torch.zeros(1), torch.zeros(2), torch.zeros(3)
    assert [len(t) for t in tensors_in(Output(a, (b, c), "x"))] == [1, 2, 3]
    assert [len(t) for t in tensors_in({"x": [a, {"y": (b, "z", 3)}]})] == [1, 2]
    assert tensors_in("text") == []


def test_outputs_are_recorded_only_between_arming_and_disarming():
    failures: list[Exception] = []
    model = nn.Linear(2, 2)
    watch = AnchorWatch(model, failures.append)
    model(torch.zeros(1, 2))
    assert watch.take() == []

    watch.arm()
    with torch.no_grad():
        model(torch.zeros(1, 2))
    assert watch.take() == []
    outputs = [model(torch.zeros(1, 2)) for _ in range(REMEMBERED + 2)]
    assert list(map(id, watch.take())) == list(map(id, outputs[-REMEMBERED:]))
    assert watch.take() == []

    model(torch.zeros(1, 2))
    watch.disarm()
    assert watch.take() == []
    assert not model._forward_hooks
    assert failures == []
