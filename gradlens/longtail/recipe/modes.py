"""Which parameters train, and which modules are in train mode."""

from __future__ import annotations

from torch import nn


def choose_trainable(model: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Lets exactly those parameters train whose names start with one of the prefixes."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes))


def set_modes(module: nn.Module, training: bool = True) -> None:
    """Puts modules into train mode where a parameter of theirs trains and into eval mode where all are frozen.

    A module without parameters (dropout, pooling) has the mode of the one that holds it.
    """
    parameters = list(module.parameters())
    module.training = any(p.requires_grad for p in parameters) if parameters else training
    for child in module.children():
        set_modes(child, module.training)


def frozen(module: nn.Module) -> nn.Module:
    """Puts a module into eval mode, its parameters without gradients, and returns it."""
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module
