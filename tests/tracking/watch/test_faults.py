"""Every function of tracking is made to raise in turn: the training ends with identical weights, one warning, one event."""

from __future__ import annotations

import importlib
import inspect
import logging
import warnings
from collections.abc import Iterator
from itertools import takewhile

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from gradlens.runlog import Run
from gradlens.tracking.launch import session
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.watch.tracker import Tracker
from tests.tracking.fault_trainings import TRAININGS, data, network, train, train_one_model
from tests.tracking.in_process import said, trackers

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
    "find.loss_calls",
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
    "labels:LabelSearch.stop", "optimizer_changes:OptimizerChanges.stop", "optimizer_changes:OptimizerChanges._stepped",
    "outputs:Outputs.stop",
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
            elif inspect.isclass(thing) and not getattr(thing, "_is_protocol", False):
                yield from (
                    f"{short(name)}:{key}.{k}"
                    for k, v in vars(thing).items()
                    if inspect.isfunction(v) and k != "__eq__"
                )


FUNCTIONS = sorted(({f for f in functions() if not f.endswith("__")} | {"attachment:Attachment.__init__"}) - SURFACE)


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


@pytest.fixture(scope="module")
def reached(tmp_path_factory):
    """The functions that each training calls."""
    found = {}
    for name, training in TRAININGS.items():
        found[name] = set()
        with pytest.MonkeyPatch.context() as patch:
            for function in FUNCTIONS:

                def noting(ordinary, function=function, own=found[name]):
                    def noted(*args, **kwargs):
                        own.add(function)
                        return ordinary(*args, **kwargs)

                    return noted if inspect.isfunction(ordinary) else ordinary

                replace(patch, function, noting)
            with trackers(tmp_path_factory.mktemp("reached")) as start:
                start(every=2)
                training()
    return found


@pytest.fixture(autouse=True)
def what_a_broken_end_leaves() -> Iterator[None]:
    """Puts back what a pass of ours replaces: the function that does it at its end is one of those that fail here."""
    before = warnings.warn, logging.Logger.handle
    yield
    warnings.warn, logging.Logger.handle = before  # type: ignore[method-assign]


@pytest.mark.timeout(900)  # a training for each function; half of that on two busy cores
@pytest.mark.parametrize("of", ["new", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("training", TRAININGS)
def test_training_survives_a_fault_anywhere(training, of, untracked, reached, tmp_path):
    """Each function fails in the first training that calls it, or in all of them."""
    functions = set(reached[training])
    for other in takewhile(lambda other: of == "new" and other != training, TRAININGS):
        functions -= reached[other]
    assert functions
    wrong = {}
    for number, function in enumerate(sorted(functions)):
        calls = []

        def broken(_, calls=calls):
            def failing(*args, **kwargs):
                calls.append(1)
                raise ZeroDivisionError("injected")

            return failing

        folder = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch, trackers(folder) as start:
            replace(patch, function, broken)
            tracker = start(every=2)
            left = TRAININGS[training]()
            assert calls
            if not all(torch.equal(a, b) for a, b in zip(left, untracked[training], strict=True)):
                wrong[function] = "the training differs"
            warnings = [line for line in said() if "injected" in line]
            if len(warnings) != 1:
                wrong[function] = warnings
            if tracker.lens is not None:
                tracker.lens.close()
                events = [
                    event for event in Run(tracker.lens.run_path).events if "injected" in str(event.get("message"))
                ]
                if len(events) != 1:
                    wrong[function] = events
    assert wrong == {}


def test_nearly_every_function_is_reached(reached):
    assert len(set().union(*reached.values())) > 0.75 * len(FUNCTIONS)


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
