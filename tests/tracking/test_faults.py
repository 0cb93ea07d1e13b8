"""Every function of tracking is made to raise in turn: the training ends with identical weights, one warning, one event."""

from __future__ import annotations

import importlib
import inspect
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradlens.runlog import Run
from gradlens.tracking.launch import session
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.watch.tracker import Tracker
from tests.tracking.in_process import trackers

# Modules whose code runs while a script trains.
MODULES = (
    "attach.make_lens",
    "attach.attaching",
    "attach.attachment",
    "find.class_counts",
    "find.labels",
    "find.drawn_samples",
    "find.evidence",
    "attach.optimizer_changes",
    "watch.faults",
    "watch.gradient_calls",
    "find.group_choice",
    "find.group_search",
    "attach.growth",
    "find.label_counter",
    "find.labels_in_graph",
    "find.models",
    "find.outputs",
    "find.passes",
    "watch.notices",
    "watch.patches",
    "find.sightings",
    "watch.state",
    "attach.step_count",
    "watch.tracker",
)
PLACES = {module.rpartition(".")[2]: module for module in MODULES}
# What takes faults or hands them on (its body is one ``try``), and what ends tracking.
SURFACE = {
    "tracker:Tracker." + name
    for name in ("__init__", "start", "stop", "_made", "_changed")
} | {
    "faults:Faults.fail", "faults:Faults.quietly", "faults:Faults.guarded", "notices:Notices.say", "state:Watch.turn",
    "attaching:Attaching.stop", "attaching:Attaching._made",
    "labels:Clues.stop", "optimizer_changes:Following.stop", "optimizer_changes:Following._stepped", "outputs:Outputs.stop",
    "step_count:StepCount._stepped", "step_count:StepCount.end", "outputs:Outputs._ran",
    # These run before the script does; see the test of faults at the start.
    "patches:install", "patches:_watched_loss", "patches:_watch_loaders", "patches:_watch_packing",
}  # fmt: skip


def short(module):
    """The name of a module without its room."""
    return module.rpartition(".")[2]


def functions():
    """Every function and method of those modules, as "module:name"."""
    for name in MODULES:
        module = importlib.import_module(f"gradlens.tracking.{name}")
        for key, thing in vars(module).items():
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(thing):
                yield f"{short(name)}:{key}"
            elif inspect.isclass(thing):
                yield from (
                    f"{short(name)}:{key}.{k}"
                    for k, v in vars(thing).items()
                    if inspect.isfunction(v) and k != "__eq__"
                )


FUNCTIONS = sorted(({f for f in functions() if not f.endswith("__")} | {"attachment:Attachment.__init__"}) - SURFACE)


def data():
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate((20, 12, 6))])
    return TensorDataset(torch.randn(38, 5, generator=torch.Generator().manual_seed(0)), labels)


class Unreadable(torch.utils.data.Dataset):
    def __init__(self):
        self.pairs = list(data())

    def __len__(self):
        return 38

    def __getitem__(self, index):
        return self.pairs[index]


def network():
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))


def epochs(model, dataset, loss, count=2):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(count):
        for x, y in DataLoader(dataset, batch_size=19, shuffle=True):
            optimizer.zero_grad()
            with torch.autograd.graph.save_on_cpu():
                output = model(x)
            loss(output, y).backward()
            optimizer.step()


def by_hand(logits, y):
    return -logits.log_softmax(1).gather(1, y[:, None]).mean()


def train():
    """Trainings that together lead through nearly all of tracking, one after the other; returns what they leave."""
    torch.manual_seed(0)
    first, second = network(), network()
    epochs(first, Unreadable(), F.cross_entropy)  # its labels are counted in the first pass
    lam = 0.3
    epochs(
        second, data(), lambda out, y: lam * F.cross_entropy(out, y) + (1 - lam) * F.cross_entropy(out, y.flip(0)), 12
    )
    return [*first.state_dict().values(), *second.state_dict().values(), torch.get_rng_state()]


def train_by_hand():
    torch.manual_seed(0)
    model = network()
    epochs(model, data(), by_hand)
    return [*model.state_dict().values(), torch.get_rng_state()]


def train_without_optimizer():
    torch.manual_seed(0)
    model = network()
    params = list(model.parameters())
    for _ in range(4):
        for x, y in DataLoader(data(), batch_size=19, shuffle=True):
            gradients = torch.autograd.grad(F.cross_entropy(model(x), y), params)
            with torch.no_grad():
                for param, gradient in zip(params, gradients, strict=True):
                    param -= 0.1 * gradient
    return [*model.state_dict().values(), torch.get_rng_state()]


def train_one_model():
    torch.manual_seed(0)
    model = network()
    epochs(model, data(), F.cross_entropy, 6)
    return [*model.state_dict().values(), torch.get_rng_state()]


TRAININGS = {"loss calls": train, "by hand": train_by_hand, "without optimizer": train_without_optimizer}


@pytest.fixture(scope="module")
def untracked():
    return {name: training() for name, training in TRAININGS.items()}


def replace(monkeypatch, function, make):
    module, _, name = function.partition(":")
    owner, *path = [importlib.import_module(f"gradlens.tracking.{PLACES[module]}"), *name.split(".")]
    for part in path[:-1]:
        owner = getattr(owner, part)
    ordinary = vars(owner)[path[-1]]
    replaced = make(ordinary)
    monkeypatch.setattr(owner, path[-1], replaced)
    if len(path) == 1:  # other modules have the function under its name
        for other in MODULES:
            known = importlib.import_module(f"gradlens.tracking.{other}")
            if vars(known).get(path[-1]) is ordinary:
                monkeypatch.setattr(known, path[-1], replaced)


def fault(*args, **kwargs):
    raise ZeroDivisionError("injected")


def said():
    return [line.removeprefix("gradlens: ") for line in sys.__stderr__.getvalue().splitlines()]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("training", TRAININGS)
def test_training_survives_a_fault_anywhere(function, training, start, untracked, monkeypatch, tmp_path):
    calls = []

    def broken(ordinary):
        def fault(*args, **kwargs):
            calls.append(function)
            raise ZeroDivisionError("injected")

        return fault

    replace(monkeypatch, function, broken)
    tracker = start(every=2)

    left = TRAININGS[training]()
    assert all(torch.equal(a, b) for a, b in zip(left, untracked[training], strict=True))
    warnings = [line for line in said() if "injected" in line]
    assert len(warnings) == (1 if calls else 0)
    if calls and tracker.lens is not None:
        tracker.lens.close()
        events = [event for event in Run(tmp_path / "run").events if "injected" in str(event.get("message"))]
        assert len(events) == 1


def test_nearly_every_function_is_reached(untracked, monkeypatch, tmp_path):
    reached = set()
    for function in FUNCTIONS:

        def noting(ordinary, function=function):
            def noted(*args, **kwargs):
                reached.add(function)
                return ordinary(*args, **kwargs)

            return noted if inspect.isfunction(ordinary) else ordinary

        replace(monkeypatch, function, noting)
    for name, training in TRAININGS.items():
        with trackers(tmp_path / name) as start:
            start(every=2)
            training()
    assert len(reached) > 0.75 * len(FUNCTIONS)


START = (
    "gradlens.tracking.watch.patches.install",
    "gradlens.tracking.watch.patches.listen",
    "gradlens.guards.patches._place",
    "gradlens.guards.compiled.keep_buffers",
    "gradlens.tracking.launch.session.watch",
)


@pytest.mark.parametrize("function", START)
def test_a_fault_at_the_start_does_not_break_the_import_of_torch(function, start, untracked, monkeypatch, tmp_path):
    start().stop()  # has its patches taken away by the fixture
    tracker = Tracker(TrackOptions(every=2), tmp_path / "other", lambda: None)
    monkeypatch.setattr(function, fault)
    session._start(tracker)
    left = train()
    assert all(torch.equal(a, b) for a, b in zip(left, untracked["loss calls"], strict=True))
    assert sum("injected" in line for line in said()) == 1
    assert not (tmp_path / "other").exists()


def test_training_goes_on_where_giving_up_fails_too(start, untracked, monkeypatch):
    monkeypatch.setattr("gradlens.tracking.find.labels.weigh", fault)
    monkeypatch.setattr("gradlens.tracking.watch.notices.Notices.say", fault)
    tracker = start(every=2)
    left = train()
    assert all(torch.equal(a, b) for a, b in zip(left, untracked["loss calls"], strict=True))
    assert "injected" in str(tracker.faults.failure)


LENS = (
    "gradlens.measure.stepper.Stepper._armed_step_over",
    "gradlens.measure.stepper.Stepper._arm_if_due",
    "gradlens.measure.schedule.schedule.MeasurementSchedule.end",
    "gradlens.measure.schedule.schedule.MeasurementSchedule.due",
    "gradlens.measure.schedule.clock.Clock.step_ended",
    "gradlens.measure.schedule.cadence.Every.due",
    "gradlens.measure.misuse.Usage.backward",
    "gradlens.measure.meter.StepMeter.measure",
    "gradlens.measure.meter.StepMeter.finish",
    "gradlens.measure.recorder.Recorder.take",
)


@pytest.mark.parametrize("function", LENS)
def test_training_survives_a_fault_of_the_lens(function, start, monkeypatch):
    expected = train_one_model()
    calls = []

    def later(*args, **kwargs):
        calls.append(function)
        raise ZeroDivisionError("injected")

    tracker = start(every=2)
    on_made = tracker._made

    def made(lens):
        on_made(lens)
        monkeypatch.setattr(function, later)

    tracker._made = made
    left = train_one_model()
    assert calls
    assert all(torch.equal(a, b) for a, b in zip(left, expected, strict=True))
    assert sum("injected" in line for line in said()) == 1


def test_a_fault_at_a_gradient_scaler_does_not_reach_the_training(start, untracked, monkeypatch):
    def scaled(count=6):
        torch.manual_seed(0)
        model, scaler = network(), torch.amp.GradScaler("cpu")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for x, y in DataLoader(data(), batch_size=6):
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
        return list(model.state_dict().values())

    expected = scaled()
    monkeypatch.setattr(torch.amp.GradScaler, "scale", inspect.unwrap(torch.amp.GradScaler.scale))
    monkeypatch.setattr("gradlens.batch.loss_scale._note", fault)
    start(every=1)
    assert all(torch.equal(a, b) for a, b in zip(scaled(), expected, strict=True))
    assert sum("injected" in line for line in said()) == 1
