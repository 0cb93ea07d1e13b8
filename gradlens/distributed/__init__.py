"""Measuring a training that runs in several processes: their group gradients are those of the global batch.

What needs torch.distributed is imported where several processes train: some builds of torch come without it.
"""

from gradlens.distributed.choice import agreement_for
from gradlens.distributed.errors import TeamError
from gradlens.distributed.wrappers import unwrapped

__all__ = ["TeamError", "agreement_for", "unwrapped"]
