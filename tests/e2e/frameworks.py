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
        needs: The library; the case is skipped where it is missing.
        tolerance: How far Grams may be from the truth, in units of the vectors' norms; None: not exact, as ``says`` says.
        ends: What ends a step, for the oracle: "optimizer", or "backward" where the optimizer is none of torch's.
        says: What a line says beside the measurement.
        instead: Where it is not supported: the line that says so.
    """

    title: str
    program: tuple[str, ...]
    steps: int
    launcher: tuple[str, ...] = ()
    same_as: tuple[str, ...] | None = None
    left_out: tuple[int, ...] = ()
    needs: str = ""
    tolerance: float | None = 1e-6
    ends: str = "optimizer"
    says: str = ""
    instead: str = ""

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
    Framework("Keras 3 on torch", ("keras_fit.py",), 8, needs="keras", ends="backward", tolerance=1e-5),
    Framework("fastai", ("fastai_fit.py",), 8, needs="fastai", ends="backward"),
    Framework("skorch", ("skorch_fit.py", "fit"), 8, needs="skorch"),
    Framework(
        "skorch, grid search with folds: the first model",
        ("skorch_fit.py", "grid"),
        4,
        needs="skorch",
        says="optimizer steps by 4 optimizers of other models",
    ),
    Framework("Ignite", ("ignite_loop.py",), 8, needs="ignite"),
    Framework("PyTorch Geometric, nodes of a graph", ("geometric.py", "nodes"), 6, needs="torch_geometric"),
    Framework("PyTorch Geometric, batches of graphs", ("geometric.py", "graphs"), 6, needs="torch_geometric"),
    Framework("Composer", ("composer_fit.py",), 8, needs="composer"),
    Framework(
        "torchao, float8 products",
        ("quantized.py", "float8"),
        10,
        needs="torchao",
        tolerance=None,
        says="a backward function is not linear in the gradient that it is given (float8",
    ),
    Framework("torchao, int8 products", ("quantized.py", "int8"), 10, needs="torchao", tolerance=1e-4),
    Framework(
        "Opacus",
        ("private.py",),
        0,
        needs="opacus",
        tolerance=None,
        instead="Opacus clips the gradient of each sample and adds noise",
    ),
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
