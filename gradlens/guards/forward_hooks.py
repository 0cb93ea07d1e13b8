"""The script's forward hooks, which a forward pass that runs again would run again."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as of_all

from gradlens.guards.script_hooks import names_of

# Hooks that are a part of what a module computes (weight normalisation of old, pruning), or ours.
HARMLESS = ("torch.", "gradlens.")


def script_forward_hooks(model: nn.Module) -> list[str]:
    """Returns the names of forward hooks on modules of a model, and on all modules, that are neither torch's nor ours."""
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
