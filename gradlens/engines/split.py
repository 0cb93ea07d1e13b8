"""The split engine: it computes group gradients from the inputs and output gradients of each layer.

It listens to the training's own backward pass and needs no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.grads import Grads
from gradlens.autograd.graph import edge_of
from gradlens.batch.rows import RowsByGroup
from gradlens.batch.selection import select
from gradlens.engines import direct_uses as direct
from gradlens.engines.audit import AuditResult, DirectUse, Region, audit, enters
from gradlens.engines.backward_scale import BackwardScale
from gradlens.engines.group_sums import GroupSums, plain_arithmetic
from gradlens.engines.layer_calls import AttentionCall, LayerCall
from gradlens.engines.layers import LayerKind, attention, kind_of
from gradlens.engines.module_snapshot import ModuleSnapshot
from gradlens.engines.protocol import EngineRefusal
from gradlens.guards.deferred_error import HeldError
from gradlens.guards.module_hook import InstalledHook, StepHook
from gradlens.guards.module_walk import modules_of
from gradlens.guards.unseen_hooks import listen

MIXES = "train-mode BatchNorm mixes the samples of a batch"


class SplitEngine:
    """Is exact where no module mixes the samples of a batch. It costs a few percent when the wanted groups are small.

    Hooks keep the input of each covered layer in the forward pass. In the training's backward pass they receive the gradient
    of the layer's output, and add up the weight gradient of the wanted groups' rows. In between, the engine walks the graph:
    every use of a measured parameter must belong to a covered layer. The graph does not show that forward code mixes samples
    (``x - x.mean(0)``). The comparison with the masked engine finds that.
    """

    name = "split"

    def __init__(self, model: nn.Module, params: Sequence[nn.Parameter]) -> None:
        self._model = model
        self._params = list(params)
        self._measured = {id(param) for param in params}
        # The hooks on modules. They stay in this list when they are taken off, and are put back as long as the snapshot holds.
        self._hooks: list[InstalledHook] = []
        self._snapshot: ModuleSnapshot | None = None
        self._handles: list[RemovableHandle] = []
        self._calls: list[LayerCall | AttentionCall] = []
        self._recording = False
        self._sums: GroupSums | None = None
        self._held = HeldError()

    def arm(self) -> None:
        """Installs the hooks; see ``Engine.arm``."""
        self.disarm()
        try:
            if self._snapshot is not None and self._snapshot.holds(self._model):
                for hook in self._hooks:
                    hook.put_back()
            else:
                self._look_at_modules()
        except BaseException:
            self.disarm()  # no hook stays on a module, whatever ended this
            raise
        self._recording = True

    def arm_again(self) -> None:
        """Puts the hooks back that ``measure`` has removed."""
        for hook in self._hooks:
            hook.put_back()
        self._recording = True

    def disarm(self) -> None:
        """Removes the hooks and drops what they kept; see ``Engine.disarm``."""
        for hook in self._hooks:
            hook.remove()
        for handle in self._handles:
            handle.remove()
        for call in self._calls:
            call.drop()
        self._handles, self._calls = [], []
        self._recording, self._sums, self._held = False, None, HeldError()

    def measure(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        """Runs ``backward``, and adds up the gradients of the wanted rows while it runs; see ``Engine.measure``."""
        try:
            self._recording = False
            uses = self._check(passed.losses, passed.anchors, rows)
            sums = GroupSums(self._params, [select(rows, group) for _, group in wanted])
            scale = BackwardScale(passed)
            passed.release()
            self._handles += [use.node.register_prehook(self._held.hook(self._on_direct, use)) for use in uses]
            self._sums = sums
            with scale:
                backward()
            for call in self._calls:
                if isinstance(call, AttentionCall):
                    call.finish(sums)
            self._held.check()
            return scale.undo(sums.result())
        finally:
            self.disarm()

    def check_ahead(self, roots: Sequence[Tensor], anchors: Sequence[Tensor], dims: int, *, several: bool) -> None:
        """Checks a backward pass that is not measured: can this engine measure others of its kind?

        The engine was not armed in its forward pass, so it knows only the graph.

        Args:
            roots: The tensors that are differentiated.
            anchors: The tensors whose rows are samples.
            dims: Number of dimensions of the labels.
            several: Whether several anchors or loss calls have their own labels.

        Raises:
            EngineRefusal: It cannot. The message says why.
        """
        self._audited(roots, anchors, dims, several=several)

    def _look_at_modules(self) -> None:
        self._hooks, self._snapshot = [], None
        for path, module in self._model.named_modules():
            self._arm_module(path, module)
        self._snapshot = ModuleSnapshot(self._model)

    def _hold(self, error: Exception) -> None:
        self._held.hold(error)

    def _arm_module(self, path: str, module: nn.Module) -> None:
        if _mixes(module):
            raise _refusal(path, module, MIXES)
        if isinstance(module, ScriptModule):
            raise _refusal(path, module, "torch.jit compiled it, so its layers take no hooks")
        if module._compiled_call_impl is not None or isinstance(vars(module)["_modules"].get("_orig_mod"), nn.Module):
            raise _refusal(path, module, "torch.compile hides the layers inside")
        if vars(module).get("batch_first") is False:
            raise _refusal(path, module, "batch_first=False puts the samples in the second dimension")
        owned = self._owned(module._parameters)
        if attention.covers(module):
            inside = self._owned(attention.owned(module))
            if inside:
                self._require(path, module, inside, attention.refusal(module))  # type: ignore[arg-type]
                hook = StepHook(partial(self._on_attention, path, inside), self._hold, in_compiled=False)
                self._hooks.append(listen(module, hook, first=True, with_kwargs=True))
            return
        if not owned:
            return
        kind = kind_of(module)
        if kind is not None:
            self._require(path, module, owned, _derived(owned) or kind.refusal(module))
            hook = StepHook(partial(self._on_forward, path, kind), self._hold, in_compiled=False)
            # It is called first, so that it receives the layer's own output, before other hooks change it.
            self._hooks.append(listen(module, hook, first=True, with_kwargs=True))
        elif type(module).__module__.startswith("torch.nn.") and not isinstance(
            module, (nn.ParameterList, nn.ParameterDict)
        ):
            raise _refusal(path, module, "it has no rule for this layer")
        else:
            self._require(path, module, owned, None)

    def _owned(self, params: Mapping[str, nn.Parameter | None]) -> dict[str, nn.Parameter]:
        return {name: p for name, p in params.items() if p is not None and id(p) in self._measured}

    def _require(self, path: str, module: nn.Module, owned: Mapping[str, nn.Parameter], reason: str | None) -> None:
        if reason is not None:
            raise _refusal(path, module, reason)
        for name, param in owned.items():
            if type(param) not in (nn.Parameter, Tensor):
                raise _refusal(path, module, f"{name} is a {type(param).__name__}, not a plain parameter")

    def _on_forward(
        self,
        path: str,
        kind: LayerKind,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Tensor,
    ) -> None:
        if self._recording and output.requires_grad:
            inputs: Tensor = args[0] if args else kwargs["input"]
            region = _region(path, output, [inputs], self._owned(module._parameters).values())
            call = LayerCall(region, kind, module, inputs, inputs._version)
            self._calls.append(call)
            output.register_hook(self._held.hook(self._on_gradient, call))  # type: ignore[no-untyped-call]

    def _on_attention(
        self,
        path: str,
        params: dict[str, nn.Parameter],
        module: nn.MultiheadAttention,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        outputs: tuple[Tensor, Tensor | None],
    ) -> None:
        output, weights = outputs
        if self._recording and output.requires_grad:
            arguments = attention.bind(module, args, kwargs)
            inputs = [arguments[name] for name in ("query", "key", "value")]
            region = _region(path, output, inputs, params.values())
            node = None if weights is None else weights.grad_fn
            call = AttentionCall(region, module, tuple(params.values()), arguments, node, [t._version for t in inputs])
            self._calls.append(call)
            output.register_hook(self._held.hook(self._on_gradient, call))  # type: ignore[no-untyped-call]

    def _check(self, losses: Sequence[Tensor], anchors: Sequence[Tensor], rows: RowsByGroup) -> tuple[DirectUse, ...]:
        self._held.check()
        if len(losses) != 1:
            raise EngineRefusal(f"split: {len(losses)} loss components are differentiated in one backward pass")
        count = rows.weights.shape[0]
        found = self._audited(losses, anchors, rows.weights.ndim - 1, several=bool(rows.parts))
        for call in self._calls:
            if call.region.entry in found.nodes:
                reason = call.refusal(count, found.nodes)
                if reason is not None:
                    raise _refusal(call.region.path, call.module, reason)
        for use in found.direct:
            reason = direct.refusal(use, count)
            if reason is not None:
                raise EngineRefusal(f"split: {self._name_of(use.param)} {reason}")
        return found.direct

    def _audited(self, roots: Sequence[Tensor], anchors: Sequence[Tensor], dims: int, *, several: bool) -> AuditResult:
        if several:
            raise EngineRefusal("split: several loss calls each have their own labels")
        if dims != 1:
            raise EngineRefusal(f"split: labels of {dims} dimensions give several rows to one sample")
        for module in modules_of(self._model):
            if isinstance(module, _BatchNorm) and _mixes(module):  # put into train mode after the hooks were installed
                raise _refusal(self._path_of(module), module, MIXES)
        found = audit(anchors, [call.region for call in self._calls], self._measured)
        if any(enters(root, anchors, found.nodes) for root in roots):
            raise EngineRefusal("split: the loss also uses activations inside the network, not only its anchor")
        return found

    def _path_of(self, module: nn.Module) -> str:
        return next((str(path) for path, each in self._model.named_modules() if each is module), "")

    def _name_of(self, param: Tensor) -> str:
        for path, module in self._model.named_modules():
            for name, own in module._parameters.items():
                if own is param:
                    return f"parameter {name} of {path or 'the model'} ({type(module).__name__})"
        return f"a parameter of shape {list(param.shape)} outside the model"

    def _on_gradient(self, call: LayerCall | AttentionCall, grad: Tensor) -> None:
        if self._sums is not None and self._held.error is None:
            with plain_arithmetic(grad.device.type):
                call.add(self._sums, grad)

    def _on_direct(self, use: DirectUse, grads: tuple[Tensor | None, ...]) -> None:
        if self._sums is not None and self._held.error is None and grads[0] is not None:
            with plain_arithmetic(grads[0].device.type):
                _add_direct(use, self._sums, grads[0])


def _mixes(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)


def _derived(owned: Iterable[str]) -> str | None:
    """Returns a reason to refuse if a layer computes its weight from other parameters, otherwise None.

    ``torch.nn.utils.weight_norm`` and ``spectral_norm`` make such layers.
    """
    others = sorted(set(owned) - {"weight", "bias"})
    return f"computes its weight from {' and '.join(others)}" if others else None


def _region(path: str, output: Tensor, inputs: Iterable[Tensor], own: Iterable[nn.Parameter]) -> Region:
    exits = frozenset(edge_of(tensor) for tensor in inputs)
    return Region(output.grad_fn, exits, frozenset(id(param) for param in own), path)


def _add_direct(use: DirectUse, sums: GroupSums, grads: Tensor) -> None:
    for number, selection in enumerate(sums.selections):
        if selection.index.numel():
            sums.add(number, use.param, direct.gradient(use, selection, grads))


def _refusal(path: str, module: nn.Module, reason: str) -> EngineRefusal:
    return EngineRefusal(f"split: {reason} ({path or 'the model'}: {type(module).__name__})")
