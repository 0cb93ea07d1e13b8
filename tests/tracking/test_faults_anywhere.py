"""Whatever Python function of gradlens raises while a script trains: the training ends as without gradlens.

Faults are raised by a trace function at the entry of a code object, so that nested functions, lambdas, properties and
generators have their turn, too. ``watch/test_faults.py`` breaks the functions of tracking for good; here each fails once.
"""

from __future__ import annotations

import gc
import inspect
import logging
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gradlens
from gradlens import marks
from gradlens.guards import module_hook, own_pass
from tests.tracking.in_process import trackers

SOURCES = str(Path(gradlens.__file__).parent)
# What torch and the script call themselves, and what takes faults: an error at their very entry has nobody to take it.
ENTRANCES = {
    "tracking/watch/patches:_watched_indices.<locals>.next_index",
    "tracking/watch/patches:_watched_loader.<locals>.watched",
    "tracking/watch/patches:_watched_packing.<locals>.entered",
    "tracking/watch/patches:_watched_loss.<locals>.watched",
    "tracking/watch/patches:_watched_backward.<locals>.autograd_backward",
    "tracking/watch/patches:_watched_backward.<locals>.autograd_backward.<locals>.<lambda>",
    "tracking/watch/patches:_watched_gradients.<locals>.autograd_grad",
    "tracking/watch/patches:_watched_gradients.<locals>.autograd_grad.<locals>.<lambda>",
    "tracking/provenance/batches:_watched_batch.<locals>.next_batch",
    "tracking/watch/faults:Faults.quietly",
    "tracking/watch/faults:Faults.guarded",
    "tracking/watch/faults:Faults.fail",
    "guards/run_once:RunOnce.__init__",
    "guards/run_once:RunOnce.__call__",
    "guards/run_once:RunOnce._run",
    # hooks
    "guards/script_hooks:_tensor_hook.<locals>.register_hook",
    "guards/script_hooks:_node_hook.<locals>.register",
    "guards/script_hooks:_retain_grad.<locals>.retain_grad",
    "guards/script_hooks:_wrapped",
    "guards/script_hooks:ScriptHook.__call__",
    "guards/selective_checkpoints:_entered.<locals>.entered",
    "guards/script_hooks:ScriptHook.__getattr__",
    "tracking/attach/optimizer_changes:OptimizerChanges._stepped",
    "tracking/attach/step_count:StepCount._stepped",
    "measure/optimizer_hooks:StepHooks.over",
    "measure/optimizer_hooks:StepHooks.before.<locals>.call",
    "measure/stepped_gradient:SteppedGradient._before_step",
    "measure/stepper:Stepper._guard",
    "guards/module_hook:StepHook.__call__",
    "guards/deferred_error:HeldError.run",
    # Calls somebody's dataset, whose errors are no faults: labels are counted as they pass.
    "tracking/find/class_counts:_own_labels.<locals>.<listcomp>.<lambda>",
    # Reads an object of the script, whose errors are no faults either: such a part of a batch holds no labels.
    "tracking/find/batch_path:entries_of",
}
# What takes a hook off a module: where it fails, that hook stays.
REMOVALS = {
    "guards/module_hook:InstalledHook.remove",
    "guards/module_hook:InstalledHook.hide",
    "engines/split:SplitEngine.disarm",
}
LABELS = torch.cat([torch.full((n,), c) for c, n in enumerate((20, 12, 6))])
INPUTS = torch.randn(38, 5, generator=torch.Generator().manual_seed(0))


class Unreadable(torch.utils.data.Dataset[Any]):
    """Does not tell its labels."""

    def __len__(self):
        return 38

    def __getitem__(self, index):
        return INPUTS[index], LABELS[index]


class Attentive(nn.Module):
    """Attention over two tokens, and hooks of its own on a parameter."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(5, 1, batch_first=True)
        self.head = nn.Linear(10, 3)
        self.head.weight.register_hook(lambda gradient: 0.5 * gradient)

    def forward(self, x):
        tokens = torch.stack([x, x.flip(1)], 1)
        return self.head(self.attention(tokens, tokens, tokens)[0].flatten(1))


def network(norm: type[nn.Module]):
    return nn.Sequential(nn.Linear(5, 6), norm(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))


def fit(loss: Callable[..., torch.Tensor], dataset=None, build=lambda: network(nn.LayerNorm)):
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for x, y in DataLoader(dataset or TensorDataset(INPUTS, LABELS), batch_size=19, shuffle=True):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    return [*model.state_dict().values(), torch.get_rng_state()]


def by_hand(logits, y):
    return -logits.log_softmax(1).gather(1, y[:, None]).mean()


def mixed(logits, y):
    return 0.3 * F.cross_entropy(logits, y) + 0.7 * F.cross_entropy(logits, y.flip(0))


def without_optimizer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    params = list(model.parameters())
    for _ in range(3):
        for x, y in DataLoader(TensorDataset(INPUTS, LABELS), batch_size=19, shuffle=True):
            gradients = torch.autograd.grad(F.cross_entropy(model(x), y), params)
            with torch.no_grad():
                for param, gradient in zip(params, gradients, strict=True):
                    param -= 0.1 * gradient
    return [*model.state_dict().values(), torch.get_rng_state()]


@dataclass(frozen=True)
class Case:
    """A training, and how it is tracked."""

    train: Callable[[], list[torch.Tensor]]
    options: dict[str, Any] = field(default_factory=dict)


def batch_norm():
    return network(nn.BatchNorm1d)


CASES = {
    "masked": Case(lambda: fit(F.cross_entropy, build=batch_norm)),
    "split": Case(lambda: fit(F.cross_entropy), {"layers": True, "update": True}),
    "attention": Case(lambda: fit(F.cross_entropy, build=Attentive), {"groups": "per-class"}),
    "func": Case(lambda: fit(F.cross_entropy), {"engine": "func"}),
    "mixed labels": Case(lambda: fit(mixed)),
    "by hand": Case(lambda: fit(by_hand)),
    "counted first": Case(lambda: fit(F.cross_entropy, Unreadable())),
    "without optimizer": Case(without_optimizer),
    "by budget": Case(lambda: fit(F.cross_entropy), {"every": None}),
}


def name_of(code: CodeType) -> str:
    return f"{Path(code.co_filename).relative_to(SOURCES).with_suffix('')}:{code.co_qualname}"


@contextmanager
def tracing(entered: Callable[[CodeType], None]) -> Iterator[None]:
    """Calls ``entered`` with the code of each Python function, at its entry."""

    def trace(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            entered(frame.f_code)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def entered_by(case: Case, folder: Path) -> dict[str, tuple[CodeType, int]]:
    """Runs a training tracked; returns the functions of gradlens that it enters, and how often."""
    found: Counter[CodeType] = Counter()
    with trackers(folder) as start:
        start(**{"every": 2} | case.options)
        with tracing(lambda code: found.update((code,))):
            case.train()
    own = ((code, count) for code, count in found.items() if code.co_filename.startswith(SOURCES))
    return {name_of(code): (code, count) for code, count in own if code.co_flags & inspect.CO_OPTIMIZED}  # no bodies


class Fault:
    """Raises when a function is entered for the n-th time."""

    def __init__(self, code: CodeType, n: int) -> None:
        self._code, self._left = code, n
        self.raised = False

    def __call__(self, entered: CodeType) -> None:
        """Notes that a function is entered."""
        if entered is self._code:
            self._left -= 1
            if self._left == 0:
                self.raised = True
                sys.settrace(None)
                raise ZeroDivisionError("injected")


@pytest.fixture(autouse=True)
def objects_of_other_tests_are_not_searched():
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def what_a_broken_end_leaves() -> Iterator[None]:
    """Puts back what a pass of ours replaces: the function that does it at its end is one of those that fail here."""
    before = warnings.warn, logging.Logger.handle
    yield
    warnings.warn, logging.Logger.handle = before  # type: ignore[method-assign]


@pytest.mark.timeout(900)  # hundreds of trainings; half of that on two busy cores
@pytest.mark.parametrize(
    "which", ["half", *(pytest.param(which, marks=pytest.mark.slow) for which in ("first", "last"))]
)
@pytest.mark.parametrize("name", CASES)
def test_training_survives_one_fault_in_any_function(name, which, tmp_path):
    case = CASES[name]
    expected = case.train()
    entered_by(case, tmp_path / "imports")  # what is imported on the way
    functions = entered_by(case, tmp_path / "all")
    for other in takewhile(lambda other: other != name, CASES):
        for function in entered_by(CASES[other], tmp_path / other):  # have had their turn
            functions.pop(function, None)
    if which == "half":  # a quick run takes every second function, by its name; each fails when it is first entered
        functions = {function: found for function, found in functions.items() if zlib.crc32(function.encode()) % 2}
    assert functions

    wrong, injected = {}, 0
    for number, (function, (code, count)) in enumerate(sorted(functions.items())):
        if function in ENTRANCES:
            continue
        resumed = code.co_flags & inspect.CO_GENERATOR  # whose last entry is its end
        fault = Fault(code, count if which == "last" and not resumed else 1)
        with trackers(tmp_path / str(number)) as start:
            start(**{"every": 2} | case.options)
            try:
                with tracing(fault):
                    left = case.train()
                start.end()
                if not all(torch.equal(a, b) for a, b in zip(left, expected, strict=True)):
                    wrong[function] = "the training differs"
                elif sys.__stderr__.getvalue().count("injected") != fault.raised:
                    wrong[function] = f"said {sys.__stderr__.getvalue()!r}"
            except ZeroDivisionError:
                wrong[function] = "the training failed"
        injected += fault.raised
        for lens in list(marks._lenses):  # made when its tracker failed
            lens.close()
        if module_hook._installed and function not in REMOVALS:
            wrong[function] = "a hook stays on a module"
        for hook in list(module_hook._installed.values()):
            hook.remove()
        own_pass._running.clear()  # what ends a pass of ours may be the function that failed
        torch._C._stash_obj_in_tls(own_pass.KEY, False)
    assert wrong == {}
    assert injected > 0.9 * len(functions.keys() - ENTRANCES)  # a budget measures other steps each time
