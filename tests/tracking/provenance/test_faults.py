"""Every function of the room raises in turn: the training ends as without gradlens, and one line tells of the error."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
import torch

from gradlens.tracking import provenance
from tests.tracking.in_process import said, trackers
from tests.tracking.provenance.loss_modules import LABELS, SupCon, columns, network, train

SUPCON = SupCon()
MODULES = [
    importlib.import_module(f"{provenance.__name__}.{each.name}") for each in pkgutil.iter_modules(provenance.__path__)
]
# Made before the script runs, or taken by what calls it.
SURFACE = {
    "Batches.__init__",
    "_watched_batch",
    "Batches.stop",
    "LabelsOfLosses.stop",
    "ChosenLabels.stop",
    "LossModules.stop",
}
OPTIONS = {"by itself": {}, "named": {"labels": "batch[1]", "anchor": "2"}}


def functions():
    for module in MODULES:
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(thing):
                yield module, name, None
            elif inspect.isclass(thing):
                yield from (
                    (module, name, k)
                    for k, v in vars(thing).items()
                    if inspect.isfunction(v) and not k.startswith("__eq")
                )


FUNCTIONS = {f"{n}.{k}" if k else n: (m, n, k) for m, n, k in functions()}


def trained():
    torch.manual_seed(3)
    model = network()
    train(lambda m, batch: SUPCON(m(batch[0]), batch[1]), columns(LABELS), model, epochs=1)
    return [*model.state_dict().values(), torch.get_rng_state()]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", OPTIONS)
def test_training_survives_a_fault_anywhere(options, tmp_path):
    plain, wrong, reached = trained(), {}, 0
    for number, (function, (module, name, method)) in enumerate(FUNCTIONS.items()):
        if function in SURFACE:
            continue
        calls = []

        def failing(*args, calls=calls, **kwargs):
            calls.append(1)
            raise ZeroDivisionError("injected")

        with pytest.MonkeyPatch.context() as patch, trackers(tmp_path / str(number)) as start:
            if method is None:
                for other in MODULES:
                    if vars(other).get(name) is vars(module)[name] and other is not module:
                        patch.setattr(other, name, failing)
                patch.setattr(module, name, failing)
            else:
                patch.setattr(vars(module)[name], method, failing)
            start(every=1, groups="head=0-1,tail=2-3", **OPTIONS[options])
            left = trained()
            reached += bool(calls)
            lines = [line for line in said() if "injected" in line]
            if not all(torch.equal(a, b) for a, b in zip(left, plain, strict=True)) or len(lines) != bool(calls):
                wrong[function] = lines
        assert not SUPCON._forward_hooks, function
    assert wrong == {}
    assert reached > 10
