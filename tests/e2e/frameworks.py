"""The frameworks and launchers that `gradlens track` is held to: the table behind their tests and their benchmark."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

OFFLINE = {"HF_HUB_OFFLINE": "1"}
TORCHRUN = (str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2")
ACCELERATE = (
    str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
    "--mixed_precision", "no", "--dynamo_backend", "no",
)  # fmt: skip


@dataclass(frozen=True)
class Framework:
    """One case.

    Attributes:
        title: What it is, for people.
        program: Program in ``scripts/`` and its arguments; --epochs may follow.
        steps: Optimizer steps of two epochs.
        launcher: What starts its processes; () for ``python``.
        same_as: Program, started by torchrun, that trains the same and that the oracle can follow; None: this one.
        left_out: Steps in which a process has no data, which are not measured.
    """

    title: str
    program: tuple[str, ...]
    steps: int
    launcher: tuple[str, ...] = ()
    same_as: tuple[str, ...] | None = None
    left_out: tuple[int, ...] = ()

    @property
    def area(self) -> str:
        """Part of the support table: "framework" or "distributed"."""
        return "distributed" if self.launcher or self.same_as else "framework"

    @property
    def name(self) -> str:
        """Unique; also the name of its note."""
        return f"{self.area}-{re.sub('[^a-z]+', '-', self.title.lower())}"


_CASES = (
    Framework("Lightning", ("lightning_fit.py",), 8),
    Framework("Transformers, ViT", ("hf_trainer.py", "vit"), 6),
    Framework("Transformers, BERT", ("hf_trainer.py", "bert"), 6),
    Framework("timm", ("timm_loop.py",), 8),
    Framework("Accelerate", ("accelerated.py",), 10),
    Framework("torchrun, DDP", ("ddp.py",), 8, TORCHRUN),
    Framework("torchrun, DDP, no_sync", ("ddp.py", "--accumulate", "2"), 4, TORCHRUN),
    Framework("torchrun, fully_shard", ("ddp.py", "--sharded"), 8, TORCHRUN, same_as=("ddp.py",)),
    Framework(
        "torchrun, DDP, uneven batches with join()",
        ("ddp.py", "--uneven", "join"),
        8,
        TORCHRUN,
        same_as=("ddp.py", "--uneven", "empty"),
        left_out=(3, 7),
    ),
    Framework("torchrun, Lightning", ("lightning_fit.py", "--devices", "2"), 4, TORCHRUN),
    Framework("accelerate launch", ("accelerated.py",), 6, ACCELERATE),
    Framework("torch.multiprocessing.spawn", ("spawn.py",), 8, same_as=("ddp.py",)),
)
FRAMEWORKS = {case.name: case for case in _CASES}
