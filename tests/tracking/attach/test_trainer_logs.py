"""What trainers log is logged in the run, too; what they do stays the same. Their real fits: tests/integrations."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from gradlens.tracking.attach import trainer_logs
from gradlens.tracking.attach.trainer_logs import TRAINERS, TrainerLogs

LIGHTNING = next(name for name in TRAINERS if name.startswith("lightning."))


class Noting:
    """Stands for a lens."""

    def __init__(self):
        self.logged = []

    def log(self, **values):
        self.logged.append(values)


@pytest.fixture
def trainers(monkeypatch):
    """The two classes that are heard, in the shape that the frameworks have."""

    class CallbackHandler:
        def on_log(self, args, state, control, logs, **kwargs):
            logs.pop("total_flos", None)
            return args, state, control, logs, kwargs

    class _LoggerConnector:
        def __init__(self, *rates):
            groups = [SimpleNamespace(param_groups=[{"lr": rate}]) for rate in rates]
            self.trainer, self.seen = SimpleNamespace(optimizers=groups), []

        def log_metrics(self, metrics, step=None):
            self.seen.append((metrics, step))

    for name, owner in (("transformers.trainer_callback", CallbackHandler), (LIGHTNING, _LoggerConnector)):
        module = ModuleType(name)
        setattr(module, owner.__name__, owner)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, next(n for n in TRAINERS if n.startswith("pytorch_")), raising=False)
    monkeypatch.setattr(trainer_logs, "_patches", {})
    return CallbackHandler, _LoggerConnector


def test_numbers_are_heard_and_given_on(trainers):
    handler, connector = trainers
    before = handler.on_log, connector.log_metrics
    lens, failures = Noting(), []
    logs = TrainerLogs(lambda: lens, failures.append)
    logs.begin()
    logs.begin()
    said = {"loss": 0.5, "epoch": 1.0, "note": "text", "total_flos": 3.0, "learning_rate": 0.1, "hist": torch.ones(3)}
    assert handler().on_log(1, 2, 3, said, model=4) == (1, 2, 3, said, {"model": 4})
    one, two = connector(0.5), connector(0.1, 0.2)
    one.log_metrics({"val_loss": torch.tensor(0.25)}, 7)
    two.log_metrics(metrics={"lr-0": 9.0}, step=None)
    two.log_metrics({})
    logs.end()
    assert (handler.on_log, connector.log_metrics) == before
    one.log_metrics({"val_loss": 1.0})
    assert lens.logged == [
        {"loss": 0.5, "total_flos": 3.0, "learning_rate": 0.1},
        {"lr": 0.5, "val_loss": torch.tensor(0.25)},
        {"lr-0": 9.0, "lr-1": 0.2},
    ]
    assert one.seen == [({"val_loss": torch.tensor(0.25)}, 7), ({"val_loss": 1.0}, None)]
    assert two.seen == [({"lr-0": 9.0}, None), ({}, None)]
    assert failures == []


def test_an_error_of_ours_does_not_reach_the_trainer(trainers):
    def broken():
        raise OSError("no lens")

    failures = []
    logs = TrainerLogs(broken, failures.append)
    logs.begin()
    assert trainers[0]().on_log(1, 2, 3, {"loss": 1.0})[0] == 1
    logs.end()
    assert [str(error) for error in failures] == ["no lens"]


def test_without_a_lens_and_without_frameworks_nothing_happens(trainers, monkeypatch):
    logs = TrainerLogs(lambda: None, pytest.fail)
    logs.begin()
    trainers[0]().on_log(1, 2, 3, {"loss": 1.0})
    logs.end()
    for name in TRAINERS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    logs.begin()
    logs.end()
