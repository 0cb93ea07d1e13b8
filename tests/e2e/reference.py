"""python -m tests.e2e.reference FOLDER STYLE...: runs scripts without gradlens, plainly and under a recorder with an oracle.

Torch is imported once, and each program runs in a fork of this process. The recorder copies the model at every forward pass;
after the script it computes each group's gradient once more in float64, from the formulas of the losses, by one backward pass
for each group over the samples' terms of that group alone. What ran in reduced precision does so again: the arithmetic is part
of what was trained.
"""

from __future__ import annotations

import copy
import os
import random
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import dataloader

from tests.e2e.formulas import Batch
from tests.e2e.styles import SCRIPTS, STYLES, Style
from tests.forks import run_and_exit


@dataclass
class Call:
    """A forward pass of a module that no other module called."""

    module: nn.Module
    twin: nn.Module
    batch: Batch
    output: Any
    reduced: torch.dtype | None


class Recorder:
    """Notes forward passes, backward passes and optimizer steps of a script."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.steps: list[list[Call]] = []
        self._calls: list[Call] = []
        self._reached: list[Call] = []
        self._depth = 0
        self._inside = False
        self._optimizer: Any = None
        self._batch: Any = None
        self._drawn: dict[str, Any] = {"permutation": None, "lam": 1.0}
        self._table: dict[bytes, int] = {}

    def install(self) -> None:
        nn.modules.module.register_module_forward_pre_hook(self._enters)
        nn.modules.module.register_module_forward_hook(self._leaves, with_kwargs=False, always_call=True)
        register_optimizer_step_post_hook(self._stepped)
        torch.compile = lambda model, **_: model
        self._wrap(torch.Tensor, "backward")
        self._wrap(torch.autograd, "backward")
        self._wrap(torch.autograd, "grad")
        self._note(torch, "randperm", "permutation")
        self._note(random, "betavariate", "lam")
        following = dataloader._BaseDataLoaderIter.__next__

        def next_batch(iterator):
            self._batch = following(iterator)
            return self._batch

        dataloader._BaseDataLoaderIter.__next__ = next_batch

    def _note(self, owner: Any, name: str, key: str) -> None:
        ordinary = getattr(owner, name)

        def noting(*args, **kwargs):
            result = ordinary(*args, **kwargs)
            self._drawn[key] = result
            return result

        setattr(owner, name, noting)

    def _wrap(self, owner: Any, name: str) -> None:
        ordinary = getattr(owner, name)

        def wrapped(first, *args, **kwargs):
            if self._inside:
                return ordinary(first, *args, **kwargs)
            self._inside = True
            try:
                self._differentiated([first] if isinstance(first, Tensor) else list(first))
                return ordinary(first, *args, **kwargs)
            finally:
                self._inside = False
                if self.style.step == "backward":
                    self._end()

        setattr(owner, name, wrapped)

    def _enters(self, module: nn.Module, args: Any) -> None:
        if (
            self._depth == 0
            and torch.is_grad_enabled()
            and not self._inside
            and next(module.parameters(), None) is not None
        ):
            inputs = tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)
            batch = Batch(self._labels(inputs), self._drawn["permutation"], self._drawn["lam"], inputs)
            kind = inputs[0].device.type
            reduced = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
            self._calls.append(Call(module, copied(module), batch, None, reduced))
        self._depth += 1

    def _leaves(self, module: nn.Module, args: Any, output: Any) -> None:
        self._depth -= 1
        if self._depth == 0 and self._calls and self._calls[-1].module is module:
            self._calls[-1].output = output

    def _labels(self, inputs: tuple[Any, ...]) -> Tensor:
        main = vars(sys.modules["__main__"])
        if not self._table and self.style.script != "library_losses.py":
            data = main["make_data"]()
            self._table = {x.cpu().numpy().tobytes(): int(y) for x, y in data}
        known = [self._table.get(row.cpu().numpy().tobytes()) for row in inputs[0]]
        if all(label is not None for label in known):
            return torch.tensor(known, device=inputs[0].device)
        assert self._batch is not None
        return self._batch["labels"] if isinstance(self._batch, dict) else self._batch[1]

    def _differentiated(self, roots: list[Tensor]) -> None:
        nodes, waiting = set(), [root.grad_fn for root in roots]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in nodes:
                nodes.add(node)
                waiting += [child for child, _ in node.next_functions]
        reached = [c for c in self._calls if any(t.grad_fn in nodes for t in _tensors(c.output))]
        self._calls = [c for c in self._calls if c in reached]
        if self.style.step == "last backward":
            self._reached = []
        self._reached += [c for c in reached if not any(c is known for known in self._reached)]

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._optimizer = self._optimizer or optimizer
        if optimizer is self._optimizer and self.style.step != "backward":
            self._end()

    def _end(self) -> None:
        self.steps.append(self._reached)
        self._reached, self._calls = [], []


def copied(module: nn.Module) -> nn.Module:
    """A copy with tensors of its own; torch cannot copy storages of every device."""
    tensors = {
        **{id(p): nn.Parameter(p.detach().clone(), requires_grad=p.requires_grad) for p in module.parameters()},
        **{id(b): b.detach().clone() for b in module.buffers()},
    }
    return copy.deepcopy(module, tensors)


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    values = (
        output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else vars(output).values()
    )
    return [t for value in values for t in ([value] if isinstance(value, Tensor) else value)]


def gram_of(style: Style, calls: list[Call]) -> tuple[np.ndarray, np.ndarray, float]:
    """Brute force in float64: [K, K] inner products of the groups' gradients, [K] samples, and the norm of the rest."""
    sums: list[dict[int, Tensor]] = [{} for _ in range(len(style.classes) + 1)]
    counts = np.zeros(len(style.classes))
    for call in calls:
        wide = torch.float64 if call.reduced is None else torch.float32  # autocast leaves float64 alone
        twin = call.twin.to(wide)
        if hasattr(twin, "checkpointing"):
            twin.checkpointing = None
        inputs = tuple(a.to(wide) if isinstance(a, Tensor) and a.is_floating_point() else a for a in call.batch.inputs)
        kind = inputs[0].device.type
        batch = Batch(call.batch.y, call.batch.permutation, call.batch.lam, inputs)
        pairs = list(zip(call.module.parameters(), twin.parameters(), strict=True))
        for k, classes in enumerate(style.classes):
            with torch.autocast(kind, call.reduced, enabled=call.reduced is not None):
                terms, labels, *share = style.formula(twin, batch)
            if labels.is_floating_point():
                weights = labels[:, list(classes)].sum(1)
            else:
                weights = sum((labels == c).double() for c in classes)
            counts[k] += float((weights * share[0] if share else weights).sum())
            _add(sums[k], pairs, (weights * terms).sum())
        if style.rest is not None:
            _add(sums[-1], pairs, style.rest(twin, batch))
    vectors = [{key: gradient.double() for key, gradient in vector.items()} for vector in sums]
    dots = np.array([[sum(float((a[key] * b[key]).sum()) for key in a if key in b) for b in vectors] for a in vectors])
    return dots[:-1, :-1], counts, float(np.sqrt(dots[-1, -1]))


def _add(vector: dict[int, Tensor], pairs: list[tuple[Any, Any]], scalar: Tensor) -> None:
    for _, twin in pairs:
        twin.grad = None
    scalar.backward()
    for param, twin in pairs:
        if twin.grad is not None:
            known = vector.get(id(param))
            vector[id(param)] = twin.grad.clone() if known is None else known + twin.grad


def in_child(folder: Path, action: Callable[[], None]) -> int:
    """Runs an action in a fork whose output goes to files in the folder; returns its exit code."""
    pid = os.fork()
    if not pid:
        run_and_exit(partial(_in_folder, folder, action))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _in_folder(folder: Path, action: Callable[[], None]) -> None:
    os.chdir(folder)
    for stream, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
    action()


def run_script(style: Style, arguments: tuple[str, ...]) -> None:
    if style.alone and arguments == style.arguments:
        os.execv(sys.executable, [sys.executable, style.script, *arguments])
    sys.argv = [style.script, *arguments]
    sys.path.insert(0, os.getcwd())
    runpy.run_path(style.script, run_name="__main__")


def recorded(style: Style) -> None:
    recorder = Recorder(style)
    recorder.install()
    run_script(style, style.reference or style.arguments)
    recorder._inside = True  # what follows is no training
    with torch.enable_grad():
        found = [(step, *gram_of(style, calls)) for step, calls in enumerate(recorder.steps) if calls]
    steps, grams, counts, rests = (np.array(part) for part in zip(*found, strict=True))
    np.savez("truth.npz", steps=steps, grams=grams, counts=counts, rests=rests)


def main(folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()  # imports what all of them import
    for name in names:
        style = STYLES[name]
        for kind in ("plain", "recorded"):
            place = folder / name / kind
            shutil.copytree(SCRIPTS, place, ignore=shutil.ignore_patterns("__pycache__"))
            if kind == "recorded" and style.formula is None:
                continue
            code = in_child(place, lambda s=style, k=kind: run_script(s, s.arguments) if k == "plain" else recorded(s))
            (place / "code.txt").write_text(str(code))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
