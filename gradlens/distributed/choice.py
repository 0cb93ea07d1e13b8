"""The agreement that a training needs: that of a single process, or of a process in a team."""

from __future__ import annotations

from torch import nn

from gradlens.distributed.wrappers import several, sharing_of, wrapper_of
from gradlens.groups import ClassGroups
from gradlens.measure.agreement import Agreement, Solo


def agreement_for(model: nn.Module, groups: ClassGroups) -> Agreement:
    """Returns who agrees on the steps of a model's training.

    Args:
        model: The model, without wrappers.
        groups: K groups.

    Raises:
        TeamError: Other processes train the same model, and it cannot be measured with them.
    """
    if not several():
        return Solo()
    from gradlens.distributed.joint_steps import JointSteps
    from gradlens.distributed.team import Team

    wrapper = wrapper_of(model)
    sharing = sharing_of(model, wrapper)
    return JointSteps(Team.meet(), sharing, wrapper, groups)
