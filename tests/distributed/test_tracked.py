"""`gradlens track` in each process of a training, as torchrun starts it; the processes are forks of this one."""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

import numpy as np
import torch

from gradlens.runlog import Run
from gradlens.tracking.options import TrackOptions
from tests.distributed.processes import outcomes

SCRIPTS = Path(__file__).parents[1] / "e2e" / "scripts"
PARTS = '''
import sys
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
rank = dist.get_rank()
g = torch.Generator().manual_seed(rank)


class Part(torch.utils.data.Dataset):
    """Each process has samples of its own, whose labels nothing tells before they are read."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.full((5,), float(index)).sin().double(), (0 if index < 30 else 1 + 2 * rank)


torch.manual_seed(0)
model = DistributedDataParallel(torch.nn.Linear(5, 4).double())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for x, y in torch.utils.data.DataLoader(Part(), batch_size=10):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
torch.save(model.module.state_dict(), f"model{rank}.pt")
'''


def script(folder: Path, program: Path, arguments: list[str], options: TrackOptions | None, breaks: bool) -> None:
    """Runs a script in the process of one rank, tracked or not."""
    from gradlens.tracking.launch import program as programs
    from gradlens.tracking.launch.runner import run
    from gradlens.tracking.launch.session import track

    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    sys.argv = ["gradlens", "track", str(program), *arguments]
    if options is None:
        run(programs.script(str(program)), arguments, lambda _: None)
        return
    if breaks and os.environ["RANK"] == "1":
        from gradlens.tracking.attach import attachment

        def broken(*_):
            raise KeyError("broken")

        attachment.find_owners = broken
    atexit._clear()
    track(options, str(program), arguments, is_module=False)
    atexit._run_exitfuncs()


def both(tmp_path, program, arguments=(), *, breaks=False, **options):
    tmp_path.mkdir(exist_ok=True)
    bare = outcomes(tmp_path / "a", script, tmp_path / "plain", program, list(arguments), None, False, group=False)
    asked = TrackOptions(every=1, **options)
    found = outcomes(tmp_path / "b", script, tmp_path / "tracked", program, list(arguments), asked, breaks, group=False)
    assert [code for code, _, _ in bare] == [0, 0], bare
    assert [code for code, _, _ in found] == [0, 0], found
    names = sorted(path.name for path in (tmp_path / "plain").glob("*.pt"))
    assert names
    for name in names:
        weights, same = (torch.load(tmp_path / folder / name) for folder in ("plain", "tracked"))
        assert all(torch.equal(same[key], value) for key, value in weights.items())
    return bare, found


def test_ddp(tmp_path):
    bare, found = both(tmp_path, SCRIPTS / "ddp.py", ["--accumulate", "2"])

    # What process 0 says; the other one is silent.
    lines = found[0][2].splitlines()
    assert [line for line in lines if line.startswith("epoch")] == bare[0][2].splitlines()
    assert lines[0].startswith("gradlens: model Sequential (212 parameters)")
    assert "Whose gradient did the model follow?" in found[0][2]
    assert found[1][2] == ""
    assert [path.name for path in (tmp_path / "tracked" / "runs").iterdir()] == ["ddp"]
    run = Run(tmp_path / "tracked" / "runs" / "ddp")
    # Two batches of 12 in two processes, the last of each epoch smaller; the first step is not seen by the split engine.
    assert run.counts.sum(1).tolist() == [32, 48, 32]
    assert run.meta.class_counts == (40, 24, 9, 7)
    assert run.status.state == "finished"
    assert np.nanmax(run.residual) < 1e-6


def test_sharded(tmp_path):
    both(tmp_path, SCRIPTS / "ddp.py", ["--sharded", "--epochs", "1"])

    run = Run(tmp_path / "tracked" / "runs" / "ddp")
    assert run.steps.tolist() == [0, 1, 2, 3]
    assert run.counts.sum(1).tolist() == [24, 24, 24, 8]
    assert run.meta.extra["model"] == "Sequential"


def test_labels_are_counted_in_all_processes(tmp_path):
    program = tmp_path / "parts.py"
    program.write_text(PARTS)
    both(tmp_path / "x", program)

    run = Run(tmp_path / "x" / "tracked" / "runs" / "parts")
    assert run.meta.class_counts == (60, 10, 0, 10)
    assert "added up over 2 processes" in run.groups.rule
    assert run.steps.tolist()[0] >= 4
    assert run.counts.sum(1).tolist() == [20] * len(run)


def test_tracking_that_breaks_in_one_process_leaves_the_others_training(tmp_path):
    _, found = both(tmp_path, SCRIPTS / "ddp.py", breaks=True)

    assert "gradlens: process 1: training goes on without being measured" in found[1][2]
    assert "KeyError: 'broken'" in found[1][2]
    assert "process 1 of the 2 that train together is not measured" in found[0][2]
    assert not (tmp_path / "tracked" / "runs" / "ddp").exists()
