"""Probes: measures the groups' gradients over a whole data set, at one point of training, in eval mode."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map

from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout, inner_products
from gradlens.autograd.parameter_hooks import silenced
from gradlens.batch.rows import LabelsError
from gradlens.groups import ClassGroups
from gradlens.guards.own_pass import OwnPass
from gradlens.metrics.gram import REST, UPDATE, marked
from gradlens.metrics.measurement import Measurement

# The most rows of one forward pass, and the most bytes of rows that wait for others of their group.
BATCH = 256
WAITING_BYTES = 2**28


def probe(
    model: nn.Module,
    batches: Iterable[Any],
    groups: ClassGroups,
    *,
    step: int = 0,
    epoch: int | None = None,
    update: Sequence[Tensor | None] | None = None,
) -> Measurement:
    """Measures the gradient of the mean cross-entropy over a whole data set, group by group.

    In eval mode (running statistics, no dropout) no sample depends on the others in its batch. So rows are gathered into
    batches of one group each. One forward and backward pass over the data then gives every group's gradient exactly, for any
    number of groups.

    Memory: a pass takes as many rows as the given batches, at most 256, so it needs no more than training on such batches.
    Besides, there is one gradient for each group (100 classes on ResNet-32: 186 MB) and at most 256 MiB of waiting rows.

    Mode, buffers, ``.grad`` and random state are afterwards as before.

    Args:
        model: Maps inputs to logits [B, C].
        batches: Yields (inputs, labels): a tensor, or a dict, list or tuple of tensors with B rows each, and [B] class ids.
        groups: K groups over C classes; classes in no group go to ``rest``.
        step: The step that is written into the result.
        epoch: The epoch that is written into the result.
        update: [P] what an optimizer's step has subtracted from the trainable parameters. It becomes the vector ``update`` of
            the result, so that the result has a ``benefit``. None, or an update of other parameters: there is none.

    Returns:
        A measurement whose vectors are the groups and ``rest``. ``residual`` is NaN: nothing else computed the same gradient.

    Raises:
        LabelsError: The labels or the logits do not fit, or there is no data.
        ValueError: The model cannot be probed: all parameters are frozen, or a BatchNorm mixes samples even in eval mode.

    Example:
        >>> import torch
        >>> from gradlens import ClassGroups, probe
        >>> model = torch.nn.Linear(2, 2)
        >>> batches = [(torch.rand(8, 2), torch.tensor([0, 0, 0, 0, 0, 0, 0, 1])) for _ in range(3)]
        >>> found = probe(model, batches, ClassGroups.per_class(2))
        >>> found.counts  # of all batches together
        array([21.,  3.])
    """
    begun = time.perf_counter()
    if groups.members is not None:
        raise LabelsError(
            f"the groups are made of {groups.units}, and a probe reads labels only; give groups of classes: "
            "lens.probe(batches, ClassGroups.per_class(10))"
        )
    layout = Layout.of(model)
    at = layout.trainable()
    if not at:
        raise ValueError("the model has no parameter that wants a gradient; unfreeze some before the probe")
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}) has no running statistics and mixes the samples of a batch "
                "even in eval mode; make it with track_running_stats=True to probe the model"
            )
    params = [layout.params[i] for i in at]
    sums = _Sums(params, len(groups) + 1)
    with _undisturbed(model):
        for group, inputs, labels in _by_group(batches, groups, params[0].device):
            sums.add(model, group, inputs, labels, groups.num_classes)
    total = float(sums.counts.sum())
    if total == 0:
        raise LabelsError("the probe got no data: batches yielded nothing; an iterator can be read only once")
    vectors: list[Grads] = [[None if g is None else g / total for g in vector] for vector in sums.vectors]
    moved = _fitting(update, params)
    vectors += moved
    layers = inner_products(vectors, params, [layout.layer_of[i] for i in at], len(layout.layers)).cpu().numpy()
    absent = np.append(sums.counts[:-1] == 0, [False] * (1 + len(moved)))
    layers = marked(layers, ~absent, ~np.isfinite(np.diagonal(layers, axis1=1, axis2=2)))
    return Measurement(
        step=step,
        time=time.time(),
        epoch=epoch,
        names=(*groups.names, REST, *([UPDATE] if moved else [])),
        gram=layers.sum(0),
        layers=layers.astype(np.float32),
        counts=sums.counts[:-1],
        loss=sums.loss[:-1],
        correct=sums.correct[:-1],
        residual=float("nan"),
        total_loss=float(sums.loss.sum() / total),
        seconds=time.perf_counter() - begun,
    )


def _fitting(update: Sequence[Tensor | None] | None, params: Sequence[Tensor]) -> list[Grads]:
    """Returns the update as one more vector, if it is one of these parameters."""
    if update is None or len(update) != len(params):
        return []
    same = all(u is None or u.shape == p.shape for u, p in zip(update, params, strict=True))
    return [list(update)] if same else []


class _Sums:
    """Adds up gradients, losses and hits of each group. The last entry is for samples of no group."""

    def __init__(self, params: list[nn.Parameter], size: int) -> None:
        self._params = params
        self.vectors: list[Grads] = [[None] * len(params) for _ in range(size)]
        self.counts, self.loss, self.correct = (np.zeros(size) for _ in range(3))

    def add(self, model: nn.Module, group: int, inputs: Any, labels: Tensor, classes: int) -> None:
        """Runs one forward and backward pass over rows of one group."""
        with torch.enable_grad():
            logits = model(inputs)
            if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape != (len(labels), classes):
                shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise LabelsError(
                    f"a probe needs logits of shape [{len(labels)}, {classes}], but the model returned {shape}; wrap it in a "
                    "module that returns the logits"
                )
            wide = torch.promote_types(logits.dtype, torch.float32)
            loss = F.cross_entropy(logits.to(wide), labels, reduction="sum")
            with silenced(self._params), OwnPass():
                found = torch.autograd.grad(loss, self._params, allow_unused=True)
        known = self.vectors[group]
        for i, gradient in enumerate(found):
            present = known[i]
            if gradient is not None:
                # Not added in place: autograd may return one tensor as the gradient of several parameters.
                known[i] = gradient if present is None else present + gradient
        self.counts[group] += len(labels)
        self.loss[group] += float(loss.detach())
        self.correct[group] += float((logits.detach().argmax(1) == labels).sum())


def _by_group(batches: Iterable[Any], groups: ClassGroups, device: torch.device) -> Iterator[tuple[int, Any, Tensor]]:
    """Yields (group, inputs, labels) with rows of one group each. Group K holds the samples of no group."""
    table = torch.from_numpy(groups.of_class())
    waiting: dict[int, list[tuple[Any, Tensor]]] = defaultdict(list)
    rows: dict[int, int] = defaultdict(int)
    size = held = most = 0
    for batch in batches:
        inputs, labels = _pair(batch)
        _check(inputs, labels, groups)
        ids = labels.detach().cpu().long()
        if not len(ids):
            continue
        most = min(max(most, len(ids)), BATCH)
        size = max(1, sum(leaf.nbytes for leaf in tree_leaves(inputs)) // len(ids))
        of_row = table[ids] % (len(groups) + 1)  # -1 becomes K
        for group in sorted(set(of_row.tolist())):
            chosen = torch.nonzero(of_row == group).flatten()
            part = tree_map(lambda leaf, chosen=chosen: leaf[chosen.to(leaf.device)], inputs)
            waiting[group].append((part, labels[chosen.to(labels.device)]))
            rows[group] += len(chosen)
            held += len(chosen)
            if rows[group] >= most:
                held -= rows[group]
                yield from _joined(group, waiting.pop(group), device, most)
                rows[group] = 0
        while held * size > WAITING_BYTES:
            fullest = max(rows, key=lambda group: rows[group])
            held -= rows[fullest]
            yield from _joined(fullest, waiting.pop(fullest), device, most)
            rows[fullest] = 0
    for group in sorted(waiting):
        yield from _joined(group, waiting[group], device, most)


def _joined(
    group: int, parts: list[tuple[Any, Tensor]], device: torch.device, most: int
) -> Iterator[tuple[int, Any, Tensor]]:
    inputs = tree_map(lambda *leaves: torch.cat(leaves), *(part for part, _ in parts))
    labels = torch.cat([labels for _, labels in parts])
    for start in range(0, len(labels), most):
        piece = slice(start, start + most)
        moved = tree_map(lambda leaf, piece=piece: leaf[piece].to(device), inputs)
        yield group, moved, labels[piece].to(device).long()


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        what = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, (tuple, list, dict)) else "")
        raise LabelsError(
            f"a probe needs batches of (inputs, labels), got {what}; map them: ((b[0], b[1]) for b in loader)"
        )
    return batch[0], batch[1]


def _check(inputs: Any, labels: Any, groups: ClassGroups) -> None:
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point():
        what = f"{labels.dtype} {list(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise LabelsError(
            f"a probe needs batches of (inputs, labels) with labels a tensor of class ids [B], got {what}"
        )
    for leaf in tree_leaves(inputs):
        if not isinstance(leaf, Tensor) or leaf.shape[:1] != labels.shape:
            what = f"a tensor {list(leaf.shape)}" if isinstance(leaf, Tensor) else f"a {type(leaf).__name__}"
            raise LabelsError(
                f"a probe got inputs that hold {what} for {len(labels)} labels; give tensors with one row for each label"
            )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < groups.num_classes:
        raise LabelsError(
            f"labels from {int(labels.min())} to {int(labels.max())} leave the {groups.num_classes} classes of the groups; "
            "correct the labels or num_classes"
        )


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Puts the model into eval mode; restores every module's mode and all random state."""
    modes = [(module, module.training) for module in model.modules()]
    devices = sorted(
        {p.device.index for p in model.parameters() if p.device.type == "cuda" and p.device.index is not None}
    )
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - data pipelines use the global generators
    try:
        model.eval()
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for module, mode in modes:
            module.training = mode
