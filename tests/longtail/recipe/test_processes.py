"""Two processes train what one trains: the same weights, memory, history and measurements."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.distributed as dist

from gradlens.longtail.methods import CE, DUAL_PHASE, find_method
from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.distributed.processes import together
from tests.longtail.shared_batches import shared_task

OPTIONS = {"epochs": 2, "batch": 9, "learning_rate": 0.05}


def in_double(method, task, **options):
    recipe = method.on(task, OPTIONS | options)
    return dataclasses.replace(recipe, network=lambda: recipe.network().double())


def train(folder, method, options, tracked=True, resume=False, **named):
    """Returns history, weights and the images of the last phase."""
    task = shared_task()
    recipe = in_double(method, task, **options)
    watching = Watching(every=1, update=True, probe_every=2) if tracked else None
    trained = run_training(recipe, task, folder, seed=2, watching=watching, resume=resume, **named)
    learner = trained.fitted.learner
    weights = {name: value.numpy().copy() for name, value in learner.model.state_dict().items()}
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in trained.fitted.history]
    return history, weights, learner.selected.tolist()


@pytest.mark.parametrize(
    ("method", "size"),
    [
        (CE, 2),
        (DUAL_PHASE, 2),
        (find_method("gradvac"), 2),
        *(
            pytest.param(method, size, marks=pytest.mark.slow)
            for method, size in ((CE, 4), (DUAL_PHASE, 4), (find_method("ldam-drw"), 2), (find_method("crt"), 2))
        ),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_several_processes_do_what_one_does(tmp_path, method, size):
    # Each class is a group: in batches of 9 some are absent from the whole batch, others from the share of one process.
    own = {
        "ldam-drw": {"weighted_from": 0.5},
        "crt": {"epochs_2": 2},
        "gradvac": {"groups": "classes", "vectors": "means", "beta": 0.3},
    }
    options = own.get(method.name, {})
    if method is DUAL_PHASE:
        options = {"memory": 5} | ({"retention_reduction": "sum", "selection": "herding"} if size == 4 else {})
    history, weights, selected = train(tmp_path / "one", method, options)
    for rank, (theirs, other, chosen) in enumerate(
        together(tmp_path / "processes", train, tmp_path / "several", method, options, size=size)
    ):
        assert chosen == selected
        assert len(theirs) == len(history)
        for row, expected in zip(theirs, history, strict=True):
            assert row.pop("phase") == expected["phase"]
            assert row == pytest.approx({name: value for name, value in expected.items() if name != "phase"}, rel=1e-9)
        assert other.keys() == weights.keys()
        for name, value in weights.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-8, atol=1e-10, err_msg=f"{name} in process {rank}")
    one, several = Run(tmp_path / "one"), Run(tmp_path / "several")
    assert several.status.state == "finished"
    assert [(phase.name, phase.start) for phase in several.phases] == [
        (phase.name, phase.start) for phase in one.phases
    ]
    assert several.steps.tolist() == one.steps.tolist()
    assert several.components == one.components
    np.testing.assert_array_equal(several.counts, one.counts)
    np.testing.assert_allclose(several.gram(), one.gram(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(several.cosine("tail"), one.cosine("tail"), atol=1e-5)
    assert np.nanmax(several.residual) < 1e-6
    mine, theirs = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "several"))
    assert (mine["processes"], theirs["processes"]) == (1, size)
    # calibration follows the last digits of the weights, accuracies do not
    assert theirs["last"]["test"] == pytest.approx(mine["last"]["test"], rel=1e-6)


def test_a_training_of_two_processes_goes_on_in_one(tmp_path):
    _, weights, _ = train(tmp_path / "one", DUAL_PHASE, {}, tracked=False)
    together(tmp_path / "first", stopped, tmp_path / "run")
    history, after, _ = train(tmp_path / "run", DUAL_PHASE, {}, tracked=False, resume=True)
    assert len(history) == 4
    for name, value in weights.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-8, atol=1e-10)


def test_a_training_of_two_processes_resumes_bit_for_bit(tmp_path):
    whole = together(tmp_path / "whole", train, tmp_path / "uninterrupted", DUAL_PHASE, {}, False)
    together(tmp_path / "first", stopped, tmp_path / "run")
    resumed = together(tmp_path / "second", train, tmp_path / "run", DUAL_PHASE, {}, False, True)
    for a, b in zip(whole, resumed, strict=True):
        assert a[0] == b[0]
        assert all(np.array_equal(a[1][name], b[1][name]) for name in a[1])


class Stopped(Exception):
    """Ends a training in the middle."""


def stopped(folder):
    """Trains until the first epoch of phase II is over."""

    def on_epoch(row):
        if row["epoch"] == 3:
            raise Stopped

    task = shared_task()
    with pytest.raises(Stopped):
        fit(in_double(DUAL_PHASE, task), task, seed=2, folder=folder, on_epoch=on_epoch)


@pytest.mark.parametrize("total", [0, 1, 2, 3, 7, 12])
def test_shares_are_all_rows_in_order_and_even(total):
    shares = [list(range(total))[Processes(rank, 3).share(total)] for rank in range(3)]
    assert [row for share in shares for row in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shares_of_batches():
    positions = torch.arange(100, 111)  # batches of 4, 4 and 3
    found = [Processes(rank, 4).share_of_batches(positions, 4) for rank in range(4)]
    assert [(own.tolist(), size) for own, size in found] == [
        ([100, 104, 108], 1), ([101, 105, 109], 1), ([102, 106, 110], 1),
        ([103, 107, 108], 1),  # 108 fills the gap
    ]  # fmt: skip
    own, size = Processes(1, 2).share_of_batches(positions[:7], 5)  # 3 + 2, 1 + 1
    assert (own.tolist(), size) == ([103, 104, 106], 2)


def gathered():
    rank = dist.get_rank()
    rows = torch.tensor([[10.0, 1.0], [20.0, 2.0]] if rank == 0 else [[30.0, 3.0]], requires_grad=True)
    whole = Processes.here().gather(rows, 3)
    (whole * torch.tensor([[1.0], [2.0], [5.0]])).sum().backward()
    labels = Processes.here().gather(torch.tensor([4, 5] if rank == 0 else [6]), 3)
    return whole.tolist(), rows.grad.tolist(), labels.tolist()


def test_gathered_rows_and_their_gradients(tmp_path):
    first, second = together(tmp_path, gathered)
    assert first[0] == second[0] == [[10, 1], [20, 2], [30, 3]]
    # twice the gradient, of which the average over two processes takes half
    assert first[1] == [[2, 2], [4, 4]]
    assert second[1] == [[10, 10]]
    assert first[2] == second[2] == [4, 5, 6]
