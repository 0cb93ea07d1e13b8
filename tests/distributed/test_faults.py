"""Whatever happens in one process, no other one waits for it longer than without a lens, and weights stay the same."""

from __future__ import annotations

import os
import signal
import time
import warnings

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from gradlens import Lens
from gradlens.engines.masked import MaskedEngine
from gradlens.guards.warning import GradlensWarning
from gradlens.runlog import Run
from gradlens.tracking.attach.tracked_lens import TrackedLens
from tests.distributed import synchronised
from tests.distributed.processes import outcomes, together
from tests.distributed.trainings import batches, groups, network, optimizer_of, train


def with_a_fault(make, where: str, folder=None):
    """Step 1 fails in process 1 only; returns the steps measured, and whether weights are those without a lens."""
    steps = batches(steps=5, micro=2)
    bare = train(DistributedDataParallel, make, steps, lens=False)
    rank = dist.get_rank()
    if where == "labels" and rank == 1:
        # A class that does not exist, which the loss does not look at: the label is given to the lens only.
        ordinary_backward = Lens.backward

        def backward(self, loss, labels, *args, **named):
            wrong = labels + 100 if self.step == 1 else labels
            try:
                ordinary_backward(self, loss, wrong, *args, **named)
            except ValueError:
                loss.backward()

        Lens.backward = backward
    if where == "engine" and rank == 1:
        ordinary = MaskedEngine.measure
        calls = []

        def measure(self, *args):
            calls.append(1)
            if len(calls) == 3:
                raise MemoryError("no memory left")
            return ordinary(self, *args)

        MaskedEngine.measure = measure
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = train(
            DistributedDataParallel, make, steps, lens=True, engine="masked", out=None if folder is None else folder
        )
    same = all(torch.equal(value, bare["weights"][name]) for name, value in found["weights"].items())
    own = [str(w.message) for w in said if issubclass(w.category, GradlensWarning)]
    return same, [None if m is None else m.step for m in found["measured"]], own


def test_labels_that_one_process_cannot_use(tmp_path):
    for number, make in enumerate((network, synchronised.network)):
        found = together(tmp_path / str(number), with_a_fault, make, "labels")

        for same, steps, _ in found:
            assert same
            # ``last`` stays at step 0 while step 1 is left out.
            assert steps == [0, 0, 2, 3, 4]


def test_a_fault_in_one_process_is_said_there_and_logged(tmp_path):
    found = together(tmp_path, with_a_fault, network, "engine", tmp_path / "run")

    assert [same for same, _, _ in found] == [True, True]
    assert [steps for _, steps, _ in found] == [[0, 0, 2, 3, 4]] * 2
    assert found[0][2] == []
    assert len(found[1][2]) == 1
    assert "process 1: step 1 could not be measured (MemoryError: no memory left)" in found[1][2][0]
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 2, 3, 4]
    left_out = [event for event in run.events if event["kind"] == "left-out"]
    assert [event["step"] for event in left_out] == [1]
    assert "process 1" in left_out[0]["message"]
    assert [path.name for path in tmp_path.glob("run*")] == ["run"]


def joined(steps: tuple[int, int], inside: bool, every: int):
    """The processes have different numbers of batches, and the join of DDP; then they train on together.

    Where ``inside``, the lens is made in the first step inside of the join, as `gradlens track` does it.
    """
    rank = dist.get_rank()
    runs = []
    for lens in (False, True):
        plain = network()
        model = DistributedDataParallel(plain)
        optimizer = optimizer_of(model.parameters())
        watch = Lens(model, groups(), optimizer=optimizer, every=every) if lens and not inside else None
        seen = []
        for epoch in range(2):
            with model.join():
                for step in range(steps[rank]):
                    if lens and watch is None:
                        watch = Lens(model, groups(), optimizer=optimizer, every=every)
                    inputs, labels = batches(steps=20)[10 * epoch + step][0][rank]
                    optimizer.zero_grad()
                    loss = F.cross_entropy(model(inputs), labels)
                    if watch is None:
                        loss.backward()
                    else:
                        watch.backward(loss, labels)
                    optimizer.step()
                    if watch is not None and watch.last is not None:
                        seen.append(watch.last.step)
        if watch is not None:
            watch.close()
        runs.append({name: value.clone() for name, value in plain.state_dict().items()})
    return all(torch.equal(runs[1][name], value) for name, value in runs[0].items()), seen


@pytest.mark.parametrize(
    ("inside", "every", "measured"),
    [(False, 1, [0, 1, 2, 5, 6, 7]), (True, 1, [0, 1, 2, 5, 6, 7]), (True, 3, [0, 6])],
)
def test_uneven_numbers_of_batches_with_join(inside, every, measured, tmp_path):
    begun = time.monotonic()
    found = together(tmp_path, joined, (5, 3), inside, every)

    assert [same for same, _ in found] == [True, True]
    # Steps 3 and 4 had no data in process 1 and are left out; the second epoch begins with step 5 in both.
    assert sorted(set(found[0][1])) == measured
    assert sorted(set(found[1][1])) == measured
    assert time.monotonic() - begun < 60


def killed(folder):
    model = DistributedDataParallel(network())
    optimizer = optimizer_of(model.parameters())
    begun = time.monotonic()
    lens = Lens(model, groups(), optimizer=optimizer, every=1, out=folder)
    try:
        for step in range(50):
            inputs, labels = batches(steps=50)[step][0][dist.get_rank()]
            loss = F.cross_entropy(model(inputs), labels)
            if step == 3 and dist.get_rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            lens.backward(loss, labels)
            optimizer.step()
            optimizer.zero_grad()
    except RuntimeError as error:
        lens.close("failed", str(error))
        return step, time.monotonic() - begun, str(error)
    return None


def test_a_killed_process_leaves_nobody_waiting(tmp_path):
    (code, value, text), (other, _, _) = outcomes(tmp_path, killed, tmp_path / "run")

    assert other == -signal.SIGKILL
    assert code == 0, text
    step, seconds, error = value
    assert step == 3
    assert seconds < 30
    # The error of the training's own all-reduce, as without a lens.
    assert "Connection" in error or "connection" in error or "reset" in error
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 1, 2]
    assert run.status.state == "failed"


def alone(rank_with_lens):
    from gradlens.distributed import team

    team.MEETING = type(team.MEETING)(seconds=2)
    model = DistributedDataParallel(network())
    if dist.get_rank() != rank_with_lens:
        time.sleep(3)
        return None
    try:
        Lens(model, groups(), optimizer=optimizer_of(model.parameters()))
    except RuntimeError as error:
        return str(error)
    return "made"


def test_a_lens_in_one_process_only_is_refused(tmp_path):
    found = together(tmp_path, alone, 0)

    assert found[0].startswith("process 1 of the 2 that train together is not measured")


def independent():
    """No wrapper, nobody averages: each process trains its own model."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = train(lambda model: model, network, batches(), lens=True)
    return found["measured"], [str(w.message) for w in said if issubclass(w.category, GradlensWarning)]


def test_processes_with_models_of_their_own_are_not_added_up(tmp_path):
    found = together(tmp_path, independent)

    assert found[0][0] == [None] * 4
    assert len(found[0][1]) == 1
    assert "weights differ" in found[0][1][0]


def at_a_pace():
    """A budget: process 0's time decides, however slow the other one is."""
    model = DistributedDataParallel(network())
    optimizer = optimizer_of(model.parameters())
    lens = Lens(model, groups(), optimizer=optimizer, budget=0.2)
    armed = []
    for step in range(60):
        inputs, labels = batches(steps=60)[step][0][dist.get_rank()]
        optimizer.zero_grad()
        armed.append(lens.armed)
        lens.backward(F.cross_entropy(model(inputs), labels), labels)
        time.sleep(0.004 * dist.get_rank())
        optimizer.step()
    lens.close()
    return armed, lens.overhead


def test_all_processes_measure_the_same_steps_of_a_budget(tmp_path):
    found = together(tmp_path, at_a_pace)

    assert found[0][0] == found[1][0]
    assert found[0][0][0]
    assert 0 < sum(found[0][0]) < 60


def with_penalties(numbers, folder):
    """In step 1 the processes have different numbers of passes that go through no samples; gradients are averaged by hand."""
    runs = []
    for lens in (False, True):
        model = network()
        optimizer = optimizer_of(model.parameters())
        watch = TrackedLens(model, groups(), optimizer=optimizer, every=1, out=folder) if lens else None
        begun = time.monotonic()
        for step, (parts,) in enumerate(batches(sizes=(8,) * dist.get_world_size())):
            inputs, labels = parts[dist.get_rank()]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            watch.backward(loss, labels) if watch else loss.backward()
            for _ in range(numbers[dist.get_rank()] if step == 1 else 1):
                penalty = 1e-3 * model[0].weight.square().sum()
                watch.rest_backward(penalty, backward=penalty.backward) if watch else penalty.backward()
            for param in model.parameters():
                dist.all_reduce(param.grad)
                param.grad /= dist.get_world_size()
            optimizer.step()
        seconds = time.monotonic() - begun
        if watch:
            watch.close()
        runs.append(model.state_dict())
    return all(torch.equal(runs[1][name], value) for name, value in runs[0].items()), seconds


@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 1, 1)])
def test_what_three_processes_measured_differently_is_left_out_in_all_of_them(numbers, tmp_path):
    """With 1, 2 and 3 passes the mean is that of process 1, which must leave the step, too."""
    found = together(tmp_path, with_penalties, numbers, tmp_path / "run", size=3)

    assert [same for same, _ in found] == [True] * 3
    assert max(seconds for _, seconds in found) < 30
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 2, 3]
    left_out = [event for event in run.events if event["kind"] == "left-out"]
    assert [event["message"] for event in left_out] == [
        "step 1 was not measured: the processes measured different things in this step"
    ]
