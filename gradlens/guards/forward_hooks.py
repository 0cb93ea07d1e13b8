"""Finds the script's forward hooks: repeating the forward pass would call them a second time."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as of_all

from gradlens.guards.script_hooks import names_of

# Where hooks come from that may run again: torch's are a part of what a module computes (the old weight normalisation,
# pruning), and the others are ours.
HARMLESS = ("torch.", "gradlens.")


def script_forward_hooks(model: nn.Module) -> list[str]:
    """Returns the names of the script's forward hooks: those on modules of the model, and those for all modules.

    Hooks of torch and of gradlens are left out.
    """
    dicts = [of_all._global_forward_pre_hooks, of_all._global_forward_hooks]
    for module in model.modules():
        dicts += [module._forward_pre_hooks, module._forward_hooks]
    hooks = [hook for those in dicts for hook in those.values()]
    homes = [getattr(hook, "__module__", None) or type(hook).__module__ for hook in hooks]
    return [
        name
        for hook, home in zip(hooks, homes, strict=True)
        if not home.startswith(HARMLESS)
        for name in names_of(hook)
    ]
