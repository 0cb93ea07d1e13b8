"""The task of long-tailed digits."""

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.tasks.digits import SETTINGS, digits_task


def test_counts_run_from_head_to_tail_with_the_imbalance_asked_for(task):
    counts = task.counts.tolist()
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 124
    assert counts[0] // counts[-1] == 62  # 124 / 50 = 2.48, of which 2 are whole
    assert digits_task(imbalance=10.0).counts.tolist()[-1] == 12
    assert torch.bincount(task.train.labels).tolist() == counts


def test_the_balanced_task_is_as_large_and_keeps_the_groups(task):
    even = digits_task(balanced=True)
    trained = torch.bincount(even.train.labels)
    assert trained.sum() == task.counts.sum()
    assert trained.max() - trained.min() <= 1
    assert even.counts.tolist() == task.counts.tolist()
    assert (even.name, even.groups()) == ("digits-balanced", task.groups())


def test_the_backbone_is_the_only_one_for_these_images(task):
    assert task.network(SETTINGS, False)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(LongTailError, match="backbone='resnet-32'; the 8 x 8 digits have 'digit-net' only"):
        task.network(SETTINGS.changed({"backbone": "resnet-32"}), False)


def test_training_images_are_shifted_by_at_most_one_pixel(task):
    (plain, labels), *_ = task.train.batches(torch.arange(20), 20, augmented=False)
    (shifted, same), *_ = task.train.batches(torch.arange(20), 20, augmented=True, seed=1)
    assert labels.tolist() == same.tolist()
    padded = torch.nn.functional.pad(plain, (1, 1, 1, 1))
    windows = torch.stack([padded[:, :, r : r + 8, c : c + 8] for r in range(3) for c in range(3)])
    assert (windows == shifted).all((2, 3, 4)).any(0).all()
    assert not torch.equal(plain, shifted)
