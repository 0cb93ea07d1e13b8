"""When the counting of labels ends, where no dataset tells the class counts: nobody waits for a pass without an end."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from gradlens.runlog import Run
from tests.lens.oracle import apart, gradient, gram

# Frequent classes have the last ids, so that groups by rank differ from those of labels that nobody has counted.
LABELS = torch.cat([torch.full((200,), 3), torch.full((60,), 2), torch.full((30,), 1), torch.full((10,), 0)])
HEAD = {3, 2, 1}


class Samples(Dataset):
    """Names no labels."""

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, i):
        return torch.randn(5, generator=torch.Generator().manual_seed(i)), int(LABELS[i])


def fit(batches):
    """Trains on (inputs, labels, rows of the output that the loss sees); returns the model before each step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 4))  # measured by the masked engine
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    seen = []
    for x, y, rows in batches:
        seen.append(copy.deepcopy(model))
        optimizer.zero_grad()
        F.cross_entropy(model(x)[rows], y).backward()
        optimizer.step()
    return seen


def finished(tracker, folder):
    tracker.stop()
    tracker.lens.close()
    assert tracker.faults.failure is None
    run = Run(folder / "run")
    assert np.nanmax(run.residual) < 1e-5
    return run


def loaded(loader, steps):
    return ((x, y, slice(None)) for x, y in itertools.islice(loader, steps))


@pytest.mark.parametrize("drawn", [int(1e10), 3000])
def test_a_sampler_that_draws_more_than_there_is(start, tmp_path, drawn):
    tracker = start(every=1)
    sampler = RandomSampler(Samples(), replacement=True, num_samples=drawn)
    fit(loaded(DataLoader(Samples(), 8, sampler=sampler), 130))

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == list(range(100, 130))
    assert set(run.groups.classes[0]) == HEAD
    assert "in the labels of the first 100 backward passes" in run.groups.rule


def test_a_long_pass(start, tmp_path):
    class Many(Samples):
        def __len__(self):
            return 1_000_000

        def __getitem__(self, i):
            return super().__getitem__(i % len(LABELS))

    tracker = start(every=1)
    fit(loaded(DataLoader(Many(), 8, sampler=RandomSampler(Samples(), num_samples=1_000_000)), 110))

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == list(range(100, 110))


def test_batches_that_are_kept_and_used_again(start, tmp_path):
    tracker = start(every=1)
    # itertools.cycle reads the loader once, so that no second pass ever begins.
    fit(loaded(itertools.cycle(DataLoader(Samples(), 20, shuffle=True)), 110))

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == list(range(100, 110))
    assert set(run.groups.classes[0]) == HEAD


def test_a_pass_of_many_batches_is_waited_for(start, tmp_path):
    tracker = start(every=1)
    loader = DataLoader(Samples(), 2, shuffle=True)  # 150 batches
    fit(loaded(itertools.chain(loader, loader), 160))

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == list(range(150, 160))
    assert run.meta.class_counts == (10, 30, 60, 200)


def graph(seed, part=0.7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(300, 5, generator=generator), torch.rand(300, generator=generator) < part


def masked(seed, part=0.7):
    x, mask = graph(seed, part)
    return x, LABELS[mask], mask


def test_full_batches_are_measured_from_the_second_step_on(start, tmp_path):
    tracker = start(every=1)
    seen = fit(masked(0) for _ in range(5))

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == [1, 2, 3, 4]
    assert run.meta.class_counts == tuple(torch.bincount(masked(0)[1]).tolist())
    for found, twin in zip(run.gram()[:, :2, :2], seen[1:], strict=True):
        assert apart(found, brute_force(twin, run.groups.classes, *masked(0))) < 1e-4


def brute_force(model, groups, x, y, mask):
    """Inner products of the groups' gradients in float64, from each group's part of the mean."""

    def of(ids):
        def part(twin):
            log_p = twin(x.double())[mask].log_softmax(1)
            return -(log_p[torch.arange(len(y)), y] * torch.isin(y, torch.tensor(ids))).sum() / len(y)

        return part

    return gram([gradient(model, of(ids)) for ids in groups])


def test_labels_of_a_semi_supervised_graph_that_are_ignored(start, tmp_path):
    tracker = start(every=1)
    x, mask = graph(0, 0.2)

    def batches():
        for _ in range(4):
            labels = LABELS.clone()
            labels[~mask] = -100
            yield x, labels, slice(None)

    fit(batches())
    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == [1, 2, 3]
    assert sum(run.meta.class_counts) == int(mask.sum())


def test_several_graphs_in_turn(start, tmp_path):
    tracker = start(every=1)
    fit(masked(seed, 0.2) for _ in range(3) for seed in range(3))

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == [3, 4, 5, 6, 7, 8]
    assert "in the labels of the first 3 backward passes" in run.groups.rule


def test_few_labels_that_are_the_same_may_be_so_by_chance(start, tmp_path):
    tracker = start(every=1)
    x = torch.randn(4, 5)
    rare, usual = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 3, 2, 3])
    fit((x, y, slice(None)) for y in [usual, usual, *[rare] * 20])
    assert tracker.lens is None


def test_a_few_labels_that_stay_the_same(start, tmp_path):
    tracker = start(every=1)
    x = torch.randn(4, 5)
    fit((x, torch.tensor([0, 1, 2, 3]), slice(None)) for _ in range(8))
    # (1/4)^4 for each step that they are the same by chance, less than 1e-9 in all.
    assert finished(tracker, tmp_path).steps.tolist() == [4, 5, 6, 7]


def test_two_losses_of_one_step_are_no_second_step(start):
    tracker = start(every=1)
    model = nn.Linear(5, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in DataLoader(Samples(), 30, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        F.cross_entropy(model(x + 0.1), y).backward()
        optimizer.step()
    assert tracker.lens is None  # no pass is over


def test_a_tensor_that_is_filled_anew_holds_other_labels(start):
    tracker = start(every=1)
    held = torch.empty(30, dtype=torch.int64)

    def batches():
        for order in torch.randperm(300, generator=torch.Generator().manual_seed(0)).split(30):
            held.copy_(LABELS[order])
            yield torch.randn(30, 5), held, slice(None)

    fit(batches())
    assert tracker.lens is None
