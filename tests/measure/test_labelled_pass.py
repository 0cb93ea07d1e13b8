"""The rows of a pass that passes through samples: by one list of labels, or by each anchor's own."""

from __future__ import annotations

import pytest
import torch

from gradlens.batch.labelled import Labelled
from gradlens.batch.rows import LabelsError
from gradlens.groups import ClassGroups
from gradlens.measure.labelled_pass import LabelledPass

GROUPS = ClassGroups({"head": [0, 1], "tail": [2]}, 3)
ANCHOR = torch.zeros(4, 3, requires_grad=True)
LABELS = torch.tensor([0, 2, 2, 9])


def test_one_list_of_labels():
    rows = LabelledPass([ANCHOR.sum()], [ANCHOR], LABELS, ignore_index=9).rows(GROUPS)
    assert rows.counts == (1.0, 2.0)
    assert rows.untracked == 1
    assert rows.parts == ()


def test_anchors_with_labels_of_their_own():
    items = [Labelled(ANCHOR, torch.tensor([2, 2, 2, 2])), Labelled(ANCHOR, torch.tensor([0, 2, -100, 1]))]
    rows = LabelledPass([ANCHOR.sum()], [ANCHOR, ANCHOR], LABELS, labelled=items).rows(GROUPS)
    assert rows.counts == (2.0, 5.0)


def test_a_pass_needs_an_anchor_and_labels_that_fit():
    with pytest.raises(LabelsError, match="no anchors given"):
        LabelledPass([ANCHOR.sum()], [], LABELS).rows(GROUPS)
    with pytest.raises(LabelsError, match="label 9 is no class id"):
        LabelledPass([ANCHOR.sum()], [ANCHOR], LABELS).rows(GROUPS)
