"""Measuring a training that runs in several processes: their group gradients are those of the global batch."""

from gradlens.distributed.choice import stepper_for
from gradlens.distributed.stepper import SharedStepper
from gradlens.distributed.team import Team
from gradlens.distributed.wrappers import unwrapped

__all__ = ["SharedStepper", "Team", "stepper_for", "unwrapped"]
