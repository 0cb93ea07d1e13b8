"""What a training keeps: features in eval mode, and seeds for one purpose each."""

import hashlib

import pytest
import torch

from gradlens.longtail.recipe.learner import Learner, derived_seed
from gradlens.longtail.recipe.processes import Processes
from tests.longtail.tiny_training import Linear, tiny_task


def learner_of(processes=None):
    task = tiny_task()
    more = {} if processes is None else {"processes": processes}
    return Learner(Linear(3), task.train, task.counts, torch.device("cpu"), 0, torch.arange(11), **more)


def test_features_are_those_of_eval_mode_and_modes_come_back():
    learner = learner_of()
    learner.model.train()
    learner.model.classifier.eval()
    images = torch.randn(11, 1, 2, 2, generator=torch.Generator().manual_seed(0))  # as tiny_task makes them
    found = learner.features(torch.tensor([4, 0]))
    torch.testing.assert_close(found, images[[4, 0]].flatten(1))  # no dropout
    assert not found.requires_grad
    assert learner.model.training
    assert learner.model.dropout.training
    assert not learner.model.classifier.training


def test_of_no_image_there_are_no_features():
    assert learner_of().features(torch.tensor([], dtype=torch.int64)).shape == (0, 4)


def test_modes_come_back_after_an_error(monkeypatch):
    learner = learner_of()
    learner.model.train()
    monkeypatch.setattr(Linear, "embed", lambda self, images: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        learner.features(torch.tensor([0]))
    assert learner.model.training


def test_each_process_makes_its_own_share():
    class Noting(Processes):
        def gather(self, rows, total):
            return rows

    whole = learner_of().features(torch.arange(5))
    parts = [learner_of(Noting(rank, 2)).features(torch.arange(5)) for rank in (0, 1)]
    assert [len(part) for part in parts] == [3, 2]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_task_has_its_classes_whatever_the_classifier_has():
    learner = learner_of()
    learner.model.classifier = torch.nn.Linear(4, 2)
    assert learner.num_classes == 3


def test_seeds_depend_on_every_part_and_on_nothing_else():
    wanted = int.from_bytes(hashlib.sha256(b"3/order/1").digest()[:8], "big") >> 1
    assert derived_seed(3, "order", 1) == wanted
    seeds = {
        derived_seed(*parts)
        for parts in ((3, "order", 1), (3, "order", 2), (3, "crop", 1), (4, "order", 1), (31, "order"))
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
