"""A data set ready for training: its groups, and what it has in common with a checkpoint."""

import dataclasses

import numpy as np

from gradlens.groups import ClassGroups
from tests.longtail.tiny_training import tiny_task


def test_groups_are_head_and_tail_of_its_counts():
    counts = np.array([500, 400, 10, 5])
    task = dataclasses.replace(tiny_task(), counts=counts)
    assert task.groups() == ClassGroups.head_tail(counts)
    assert task.num_classes == 4


def test_its_identity_names_the_data():
    task = tiny_task((6, 3, 2))
    assert task.identity() == {"data set": "tiny", "classes": 3, "training images": 11, "subset": "digest"}
    assert tiny_task((6, 3, 3)).identity() != task.identity()
