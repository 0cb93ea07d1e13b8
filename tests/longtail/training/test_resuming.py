"""Resuming: after kill -9 it ends bit-identical, and what does not fit is refused."""

import os
from functools import partial

import pytest
import torch

from gradlens.longtail.recipe.optimization import Sgd, Steps
from gradlens.longtail.training.checkpoint import FILE, CheckpointError
from gradlens.longtail.training.fit import fit
from tests.longtail.processes import in_a_process
from tests.longtail.resumable_training import EXTENSIONS, train, train_method
from tests.longtail.same_state import assert_same
from tests.longtail.tiny_training import tiny_recipe, tiny_task


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    seen = in_a_process(train, folder)
    assert seen == ["I 1", "I 2", "I 3", "I 4", "II 5", "II 6", "II 7", "II 8"]
    return torch.load(folder / FILE, weights_only=True)


# "I 4" leaves a checkpoint between the phases: the second one is then entered anew.
@pytest.mark.parametrize("kills", [["I 2"], ["I 4"], ["II 6"], ["I 1", "II 7"]], ids=str)
def test_resuming_after_kill_9_ends_bit_identical(tmp_path, uninterrupted, kills):
    folder = tmp_path / "run"
    for number, kill in enumerate(kills):
        in_a_process(train, folder, resume=number > 0, kill_after=kill)
    seen = in_a_process(train, folder, resume=True)
    # the killed epoch may or may not have been completed
    assert len(seen) <= 8 - int(kills[-1].split()[1])
    assert_same(torch.load(folder / FILE, weights_only=True), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("method", EXTENSIONS)
def test_a_method_of_each_extension_ends_bit_identical_after_kill_9(tmp_path, method):
    target = partial(train_method, method)
    assert in_a_process(target, tmp_path / "whole")[:3] == ["1", "2", "3"]
    for kill in ("1", "2"):
        in_a_process(target, tmp_path / "cut", resume=kill != "1", kill_after=kill)
    in_a_process(target, tmp_path / "cut", resume=True)
    whole, cut = (torch.load(tmp_path / name / FILE, weights_only=True) for name in ("whole", "cut"))
    assert_same(cut, whole)


def test_resuming_a_finished_training_trains_nothing(tmp_path):
    task = tiny_task()
    first = fit(tiny_recipe(task), task, folder=tmp_path)
    again = fit(tiny_recipe(task), task, folder=tmp_path, resume=True)
    assert again.steps == first.steps
    assert again.final == first.final
    assert_same(again.learner.model.state_dict(), first.learner.model.state_dict())


def test_without_a_checkpoint_resuming_starts_from_the_beginning(tmp_path):
    task = tiny_task()
    assert fit(tiny_recipe(task), task, folder=tmp_path, resume=True).steps == 6


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-500]), "damaged or cut short"),
        (lambda path: path.write_bytes(b""), "damaged or cut short"),
        (lambda path: torch.save({"some": "thing"}, path), "no checkpoint of this version"),
    ],
)
def test_a_spoilt_checkpoint_is_refused(tmp_path, spoil, says):
    task = tiny_task()
    fit(tiny_recipe(task), task, folder=tmp_path)
    spoil(tmp_path / FILE)
    with pytest.raises(CheckpointError, match=says):
        fit(tiny_recipe(task), task, folder=tmp_path, resume=True)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    task = tiny_task()
    fit(tiny_recipe(task), task, folder=tmp_path)
    with pytest.raises(CheckpointError, match="phases: only:2 there, only:3 here"):
        fit(tiny_recipe(task, epochs=3), task, folder=tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="seed: 0 there, 1 here"):
        fit(tiny_recipe(task), task, folder=tmp_path, resume=True, seed=1)
    # the data come first: settings may differ with them
    fewer = tiny_task((6, 3))
    with pytest.raises(CheckpointError, match="classes: 3 there, 2 here"):
        fit(tiny_recipe(fewer), fewer, folder=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sgd": Sgd(0.2)}, r"optimizer of phase 1 \(only\): .*learning_rate=0.1.* there, .*learning_rate=0.2"),
        ({"sgd": Sgd(0.1, parts={"classifier": 0.2})}, "optimizer of phase 1"),
        ({"schedule": Steps((0.5,))}, r"schedule of phase 1 \(only\): .*0.8, 0.9.* there, .*0.5"),
        ({"batch": 5}, r"batch of phase 1 \(only\): 4 there, 5 here"),
        ({"trainable": ("classifier",)}, r"trainable of phase 1 \(only\): \[''\] there, \['classifier'\] here"),
    ],
)
def test_how_a_phase_trains_belongs_to_its_training(tmp_path, changes, says):
    task = tiny_task()
    fit(tiny_recipe(task), task, folder=tmp_path)
    with pytest.raises(CheckpointError, match=says):
        fit(tiny_recipe(task, **changes), task, folder=tmp_path, resume=True)


def test_a_schedule_without_a_text_of_its_own_does_not_bar_resuming(tmp_path):
    class Constant:
        def factor(self, epoch, epochs):
            return 1.0

    task = tiny_task()
    fit(tiny_recipe(task, schedule=Constant()), task, folder=tmp_path)
    assert fit(tiny_recipe(task, schedule=Constant()), task, folder=tmp_path, resume=True).steps == 6


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    task = tiny_task()
    torch.save(Evil(), tmp_path / FILE)
    with pytest.raises(CheckpointError):
        fit(tiny_recipe(task), task, folder=tmp_path, resume=True)
    assert not (tmp_path / "ran").exists()


def test_what_pytorch_says_of_a_damaged_checkpoint_is_not_passed_on_as_advice(tmp_path):
    task = tiny_task()
    fit(tiny_recipe(task), task, folder=tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    torch.save({"format": object}, tmp_path / FILE)
    with pytest.raises(CheckpointError, match="damaged") as raised:
        fit(tiny_recipe(task), task, folder=tmp_path, resume=True)
    assert "weights_only" not in str(raised.value)
    (tmp_path / FILE).write_bytes(whole)
    assert fit(tiny_recipe(task), task, folder=tmp_path, resume=True).steps == 6
