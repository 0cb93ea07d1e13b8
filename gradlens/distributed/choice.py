"""Chooses the agreement that a training needs: for a single process, or for a process of several."""

from __future__ import annotations

from torch import nn

from gradlens.distributed.wrappers import several, sharing_of, wrapper_of
from gradlens.groups import ClassGroups
from gradlens.measure.agreement import Agreement, SingleProcessAgreement


def agreement_for(model: nn.Module, groups: ClassGroups) -> Agreement:
    """Returns the agreement for the training of a model. With several processes, it waits until all have called this.

    Args:
        model: The model, without wrappers.
        groups: K groups.

    Raises:
        TeamError: Other processes train the same model, and it cannot be measured with them.
    """
    if not several():
        return SingleProcessAgreement()
    from gradlens.distributed.joint_processes import JointProcesses
    from gradlens.distributed.joint_steps import JointSteps
    from gradlens.distributed.team import Team

    wrapper = wrapper_of(model)
    sharing = sharing_of(model, wrapper)
    return JointSteps(JointProcesses(Team.meet(), sharing, wrapper, groups))
