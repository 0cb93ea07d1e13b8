"""Finds the model and the optimizer of a loss, by their parameters.

It searches the objects of the process once, which takes some 50 ms. Hooks on all modules would slow down each step, and would
make a compiled model compile again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from gradlens.autograd.shards import at_rest


@dataclass(frozen=True)
class Owners:
    """The model and the optimizer that own the parameters of a loss.

    Attributes:
        model: The module that holds the parameters. Several modules of the script are put into a ModuleDict.
        name: The model's name, for the user.
        optimizer: The optimizer that updates most of the parameters, or None.
        optimizers: Number of optimizers that update some of them.
    """

    model: nn.Module
    name: str
    optimizer: Optimizer | None
    optimizers: int


def find_owners(leaves: Sequence[Tensor]) -> Owners:
    """Returns the model and the optimizer of the leaf tensors that a loss depends on.

    Args:
        leaves: The leaves of the loss's graph (a few may be inputs).

    Raises:
        LookupError: The loss depends on nothing that can be trained.
    """
    modules, optimizers = _in_memory()
    resting = at_rest(modules)
    leaves = [resting.get(id(leaf), leaf) for leaf in leaves]
    wanted = {id(leaf) for leaf in leaves}
    ranked = sorted((o for o in optimizers if _owned(o) & wanted), key=lambda o: len(_owned(o) & wanted), reverse=True)
    if ranked:
        # A leaf that no optimizer updates (an input with requires_grad) is no parameter of the training.
        wanted &= {key for optimizer in ranked for key in _owned(optimizer)}
    roots = _roots(modules, wanted, resting)
    optimizer = ranked[0] if ranked else None
    if not roots:
        loose = [leaf for leaf in leaves if id(leaf) in wanted]
        if not loose:
            raise LookupError("the loss reaches no tensor that could be trained")
        return Owners(_container(loose), "of loose tensors", optimizer, len(ranked))
    if len(roots) == 1:
        return Owners(roots[0], _name(roots[0]), optimizer, len(ranked))
    names = _distinct(_name(root) for root in roots)
    joined = nn.ModuleDict(dict(zip(names, roots, strict=True)))
    return Owners(joined, " + ".join(names), optimizer, len(ranked))


def _in_memory() -> tuple[list[nn.Module], list[Optimizer]]:
    modules: list[nn.Module] = []
    optimizers: list[Optimizer] = []
    for thing in gc.get_objects():
        kind = type(thing)  # not isinstance: it would run the code of lazy proxies
        if issubclass(kind, nn.Module):
            # An instance whose __init__ has not run yet has no parameters.
            if "_modules" in vars(thing):
                modules.append(thing)
        elif issubclass(kind, Optimizer) and "param_groups" in vars(thing):
            optimizers.append(thing)
    return modules, [optimizer for optimizer in optimizers if not hands_on(optimizer)]


def hands_on(optimizer: Optimizer) -> bool:
    """Says whether an optimizer only wraps another one that really steps (Accelerate's, Lightning's, SAM's)."""
    inner = [held for held in vars(optimizer).values() if issubclass(type(held), Optimizer)]
    return any(_owned(held) >= _owned(optimizer) for held in inner)


def _owned(optimizer: Optimizer) -> set[int]:
    return {id(param) for group in optimizer.param_groups for param in group["params"]}


def _roots(modules: Iterable[nn.Module], wanted: set[int], resting: Mapping[int, Tensor]) -> list[nn.Module]:
    """Returns as few outermost modules as possible that hold all wanted parameters, without their wrappers."""
    holding: list[tuple[nn.Module, set[int], int]] = []
    for module in modules:
        owned = {id(resting.get(id(param), param)) for param in module.parameters()}
        if owned & wanted:
            holding.append((module, owned & wanted, len(owned)))
    inner = {id(child) for module, _, _ in holding for child in module.modules() if child is not module}
    outermost = [item for item in holding if id(item[0]) not in inner]
    # Modules that hold most wanted parameters come first; among equals, the one with the fewest parameters.
    outermost.sort(key=lambda item: (-len(item[1]), item[2]))
    chosen: list[nn.Module] = []
    covered: set[int] = set()
    for module, owned, _ in outermost:
        if owned - covered:
            chosen.append(_unwrapped(module))
            covered |= owned
    return chosen


def _unwrapped(module: nn.Module) -> nn.Module:
    while True:
        if isinstance(module, (DataParallel, DistributedDataParallel)):
            module = module.module
        elif isinstance(inner := dict(module.named_children()).get("_orig_mod"), nn.Module):
            module = inner  # torch.compile
        else:
            return module


def _name(module: nn.Module) -> str:
    name = type(module).__name__
    return (
        name.removeprefix("FSDP") if hasattr(module, "_get_fsdp_state") else name
    )  # fully_shard gives it a class of its own


def _container(tensors: Sequence[Tensor]) -> nn.Module:
    """Returns a new module for tensors that are in no module of the script."""
    module = nn.Module()
    for number, tensor in enumerate(tensors):
        # Not register_parameter: it refuses tensors that are no nn.Parameter.
        module._parameters[f"tensor{number}"] = tensor  # type: ignore[assignment]
    return module


def _distinct(names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number = sum(known == name or known.startswith(f"{name}_") for known in found)
        found.append(name if not number else f"{name}_{number + 1}")
    return found
