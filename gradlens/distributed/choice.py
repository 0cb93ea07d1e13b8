"""The stepper that a training needs: the ordinary one, or that of a process in a team."""

from __future__ import annotations

from typing import Any

from torch import nn

from gradlens.distributed.wrappers import several, sharing_of, wrapper_of
from gradlens.measure.processes import Alone
from gradlens.measure.stepper import Stepper


def stepper_for(model: nn.Module, *arguments: Any, **named: Any) -> Stepper:
    """Returns the stepper of a model; the other arguments are those of ``Stepper``.

    Args:
        model: The model, without wrappers.
        *arguments: The other arguments of ``Stepper``.
        **named: Likewise.

    Raises:
        TeamError: Other processes train the same model, and it cannot be measured with them.
    """
    if not several():
        return Stepper(Alone(), model, *arguments, **named)
    from gradlens.distributed.stepper import SharedStepper
    from gradlens.distributed.team import Team

    wrapper = wrapper_of(model)
    sharing = sharing_of(model, wrapper)
    return SharedStepper(Team.meet(), sharing, wrapper, model, *arguments, **named)
