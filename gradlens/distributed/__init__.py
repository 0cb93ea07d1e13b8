"""Measures a training that runs in several processes. The group gradients are those of the global batch.

Modules that need torch.distributed are imported only when several processes train, because some builds of torch lack it.
"""

from gradlens.distributed.choice import agreement_for
from gradlens.distributed.errors import TeamError
from gradlens.distributed.wrappers import unwrapped

__all__ = ["TeamError", "agreement_for", "unwrapped"]
