"""A process that ends while votes are under way ends as it would without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# As votes do, but faster than they are answered.
PROGRAM = """
import sys
import torch
import torch.distributed as dist
from gradlens.distributed.team import Team, _lasting

team = Team(int(sys.argv[1]), 2, dist.FileStore(sys.argv[2] + "/store", 2))
for _ in range(4000):
    team._group.allreduce([_lasting(torch.zeros(14))])
"""


def test_votes_that_end_while_python_does(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [sys.executable, "-c", PROGRAM]
        processes = [
            subprocess.Popen([*command, str(rank), str(folder)], stderr=subprocess.PIPE, text=True) for rank in range(2)
        ]
        errors = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], errors
