"""The patches: wraps losses, backward passes and data loaders of torch, so that a tracker sees their calls.

The patches are made before the script's ``import torch`` returns. So ``from torch.nn.functional import cross_entropy`` gets the
wrapped function, too. In a step that is not measured, a wrapper only checks a flag and calls torch's function.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge, saved_tensors_hooks
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from gradlens.batch.loss_scale import SCALE, ScaleListener
from gradlens.batch.rows import LabelsError
from gradlens.guards.patches import Listeners, Patch, listen
from gradlens.guards.script_modes import unseen
from gradlens.tracking.provenance.batches import Batches
from gradlens.tracking.watch.gradient_calls import GradientCalls, all_that_is_trained
from gradlens.tracking.watch.row_losses import watched_row_losses
from gradlens.tracking.watch.state import State

if TYPE_CHECKING:
    from gradlens.guards.run_once import RunOnce
    from gradlens.tracking.watch.tracker import Tracker

# Position of ignore_index among the arguments of the watched loss functions; far beyond them if there is none.
NO_IGNORE_INDEX = 99
LOSSES = {
    "cross_entropy": 4,
    "nll_loss": 4,
    "multilabel_soft_margin_loss": NO_IGNORE_INDEX,
    "multilabel_margin_loss": NO_IGNORE_INDEX,
}
# Names of the arguments of torch.autograd.backward after the first.
OF_AUTOGRAD = ("grad_tensors", "retain_graph", "create_graph", "grad_variables", "inputs")
INPUTS = OF_AUTOGRAD.index("inputs")


def _watched_loss(
    name: str, position: int, function: Callable[..., Tensor], trackers: Listeners[Tracker]
) -> Callable[..., Tensor]:
    is_compiling, in_dynamo = torch.compiler.is_compiling, torch.compiler.is_dynamo_compiling
    is_grad_enabled = torch.is_grad_enabled
    all_of_it, aside = State.ALL, unseen

    def watched(*args: Any, **kwargs: Any) -> Tensor:
        output = function(*args, **kwargs)
        # Compiled code contains torch's function and nothing of this one.
        if (
            in_dynamo()
            or (tracker := trackers.newest) is None
            or tracker.watch.state is not all_of_it
            or is_compiling()
        ):
            return output
        if not is_grad_enabled():
            return output
        logits = args[0] if args else kwargs.get("input")
        labels = args[1] if len(args) > 1 else kwargs.get("target")
        ignored = args[position] if len(args) > position else kwargs.get("ignore_index", -100)
        tracker.faults.quietly(aside, tracker.loss_called, name, logits, labels, ignored, output)
        return output

    # torch.jit.script compiles the source of the wrapped function, but looks names up in the globals of the wrapper.
    known = types.FunctionType(watched.__code__, function.__globals__, name, None, watched.__closure__)
    return functools.wraps(function)(known)


def _watched_backward(ordinary: Callable[..., None], trackers: Listeners[Tracker]) -> Callable[..., None]:
    is_compiling, in_dynamo = torch.compiler.is_compiling, torch.compiler.is_dynamo_compiling

    @functools.wraps(ordinary)
    def autograd_backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
        if (
            in_dynamo()
            or (tracker := trackers.newest) is None
            or tracker.watch.state < State.BACKWARD
            or is_compiling()
        ):
            ordinary(tensors, *args, **kwargs)
            return
        if not isinstance(tensors, Tensor | list | tuple):
            tensors = tuple(tensors)  # an iterator can be read only once
        if isinstance(kwargs.get("inputs"), Iterator):
            kwargs["inputs"] = tuple(kwargs["inputs"])
        elif len(args) > INPUTS and isinstance(args[INPUTS], Iterator):
            args = (*args[:INPUTS], tuple(args[INPUTS]), *args[INPUTS + 1 :])

        def measured(once: RunOnce) -> None:
            roots = _roots(tensors)
            tracker.backward(roots, _is_plain(roots, args, kwargs), once, retains=_retains(args, kwargs))

        tracker.faults.guarded(measured, lambda: ordinary(tensors, *args, **kwargs))

    return autograd_backward


def _watched_gradients(ordinary: Callable[..., Any], trackers: Listeners[Tracker]) -> Callable[..., Any]:
    is_compiling, in_dynamo = torch.compiler.is_compiling, torch.compiler.is_dynamo_compiling

    @functools.wraps(ordinary)
    def autograd_grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if (
            in_dynamo()
            or (tracker := trackers.newest) is None
            or tracker.watch.state < State.BACKWARD
            or is_compiling()
        ):
            return ordinary(outputs, inputs, *args, **kwargs)
        calls, watch = tracker.gradient_calls, tracker.watch
        try:
            repeated = watch.state is State.BACKWARD and not args and calls.repeats(inputs, kwargs)
        except Exception as error:
            tracker.faults.fail(error)
            repeated = False
        if repeated:  # must be fast: a step of such a loop may take 0.3 ms, so each microsecond is 0.3 %
            watch.state = State.BUSY
            try:
                result = ordinary(outputs, inputs, **kwargs)
            finally:
                watch.state = watch.of_step
            tracker.faults.quietly(calls.passed)
            return result
        found: list[Sequence[Tensor | None]] = []

        def measured(once: RunOnce) -> None:
            if _trains(outputs, inputs, args, kwargs):
                wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
                retains = _retains(args, kwargs)
                calls.gradients(_roots(outputs), wanted, kwargs, once, found, retains=retains)
            else:
                tracker.seen.other_gradients = True

        tracker.faults.guarded(measured, lambda: found.append(ordinary(outputs, inputs, *args, **kwargs)))
        return found[0]

    return autograd_grad


def _watched_loader(ordinary: Callable[..., Any], trackers: Listeners[Tracker]) -> Callable[..., Any]:
    @functools.wraps(ordinary)
    def watched(self: DataLoader[Any]) -> Any:
        if (tracker := trackers.newest) is not None:
            tracker.faults.quietly(tracker.pass_started, self)
        return ordinary(self)

    return watched


def _watched_indices(ordinary: Callable[..., Any], trackers: Listeners[Tracker]) -> Callable[..., Any]:
    @functools.wraps(ordinary)
    def next_index(self: _BaseDataLoaderIter) -> Any:
        index = ordinary(self)
        if (tracker := trackers.newest) is not None and tracker.watch.state >= State.BACKWARD:
            tracker.faults.quietly(tracker.drew, self, index)
        return index

    return next_index


def _watched_packing(ordinary: Callable[..., None], trackers: Listeners[Tracker]) -> Callable[..., None]:
    @functools.wraps(ordinary)
    def entered(self: saved_tensors_hooks) -> None:
        if (tracker := trackers.newest) is not None:
            tracker.faults.quietly(tracker.packed, self)
        ordinary(self)

    return entered


# If several trackers listen, only the newest gets the calls.
PATCHES: tuple[Patch[Tracker], ...] = (
    *(Patch(F, name, functools.partial(_watched_loss, name, position)) for name, position in LOSSES.items()),
    *(Patch(F, name, watched_row_losses) for name in ("linear_cross_entropy",) if hasattr(F, name)),  # torch 2.15
    Patch(torch.autograd, "backward", _watched_backward),  # Tensor.backward calls it, too
    Patch(torch.autograd, "grad", _watched_gradients),
    Patch(DataLoader, "__iter__", _watched_loader),
    Patch(_BaseDataLoaderIter, "_next_index", _watched_indices),
    Patch(saved_tensors_hooks, "__enter__", _watched_packing),
)


def install(tracker: Tracker) -> None:
    """Sends the calls of the patched functions to a tracker, until the tracker stops."""
    tracker.gradient_calls = GradientCalls(tracker)
    tracker.leaves.append(listen(SCALE, ScaleListener(lambda: tracker.watch.of_step is State.ALL, tracker.faults.fail)))
    for patch in PATCHES:
        tracker.leaves.append(listen(patch, tracker))
    tracker.batches = Batches(tracker.faults.fail)
    # Even if ``stop`` fails, nothing of ours is left in the loaders.
    tracker.leaves[:0] = [tracker.batches.stop]
    tracker.leaves.append(tracker.batches.leave)


def _roots(tensors: Any) -> list[Tensor]:
    """Returns the tensors that a backward call differentiates.

    Raises:
        LabelsError: It differentiates edges of the graph instead of tensors. No labels can be found from these.
    """
    roots: list[Any] = [tensors] if isinstance(tensors, Tensor | GradientEdge) else list(tensors)
    if not all(isinstance(root, Tensor) for root in roots):
        kinds = sorted({type(root).__name__ for root in roots})
        raise LabelsError(f"backward from {', '.join(kinds)}; differentiate the loss itself")
    return roots


def _trains(outputs: Any, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Says whether a call of ``torch.autograd.grad`` may train a model.

    It may if it differentiates scalars with respect to leaves, and its result is not differentiated again.
    """
    names = ("grad_outputs", "retain_graph", "create_graph", "only_inputs", "allow_unused", "is_grads_batched")
    given = dict(zip(names, args, strict=False)) | kwargs
    if any(given.get(name) not in (None, False) for name in ("grad_outputs", "create_graph", "is_grads_batched")):
        return False
    tensors = [inputs] if isinstance(inputs, Tensor) else inputs
    roots = [outputs] if isinstance(outputs, Tensor) else outputs
    if not isinstance(tensors, list | tuple) or not isinstance(roots, list | tuple):
        return False  # an iterator could be read only once
    return all(isinstance(t, Tensor) and t.is_leaf for t in tensors) and all(
        isinstance(t, Tensor) and t.numel() == 1 for t in roots
    )


def _retains(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Says whether a call keeps the graph, so that another one may follow."""
    given = dict(zip(OF_AUTOGRAD, args, strict=False)) | kwargs
    return bool(given.get("create_graph") if given.get("retain_graph") is None else given["retain_graph"])


def _is_plain(roots: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Says whether a backward call computes all gradients of its roots and nothing else. It may keep the graph."""
    given = dict(zip(OF_AUTOGRAD, args, strict=False)) | kwargs
    given.pop("retain_graph", None)
    inputs = given.pop("inputs", None)
    if any(value is not None and value is not False for value in given.values()):
        return False
    if isinstance(inputs, Tensor):
        inputs = [inputs]
    elif isinstance(inputs, dict):  # torch takes its values
        inputs = list(inputs.values())
    if isinstance(inputs, list | tuple | set):
        return all_that_is_trained(roots, list(inputs))
    return inputs is None
