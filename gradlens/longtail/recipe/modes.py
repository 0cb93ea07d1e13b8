"""Chooses which parameters are trained, and which modules are in train mode."""

from __future__ import annotations

from torch import nn

from gradlens.longtail.errors import LongTailError


def choose_trainable(model: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Makes exactly those parameters trainable whose names start with one of the prefixes.

    Raises:
        LongTailError: No parameter's name starts with one of them.
    """
    _check_prefixes("parameter", prefixes, [name for name, _ in model.named_parameters()])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes))


def set_modes(model: nn.Module, moving: tuple[str, ...] = ()) -> None:
    """Puts the modules of a network into train mode if they have a trainable parameter, and into eval mode if not.

    A module without parameters (dropout, pooling) gets the mode of the module that holds it.

    Args:
        model: The network.
        moving: Prefixes of the names of modules that are in train mode in any case; "" = all. A frozen BatchNorm then
            normalises by the batch, and its statistics move.

    Raises:
        LongTailError: No module's name starts with one of the prefixes.
    """
    _set_modes(model, True)
    if moving:
        _check_prefixes("module", moving, [name for name, _ in model.named_modules()])
        for name, module in model.named_modules():
            if name.startswith(moving):
                module.training = True


def _check_prefixes(kind: str, prefixes: tuple[str, ...], names: list[str]) -> None:
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            tops = dict.fromkeys(".".join(name.split(".")[:2]) for name in names if name)
            raise LongTailError(f"no {kind}'s name starts with {prefix!r}; there are {', '.join(tops)}")


def _set_modes(module: nn.Module, training: bool) -> None:
    parameters = list(module.parameters())
    module.training = any(p.requires_grad for p in parameters) if parameters else training
    for child in module.children():
        _set_modes(child, module.training)


def frozen(module: nn.Module) -> nn.Module:
    """Puts a module into eval mode, makes its parameters untrainable, and returns it."""
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module
