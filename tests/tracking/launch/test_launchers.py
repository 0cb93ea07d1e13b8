"""What is to be written where a launcher's own process was to be tracked."""

from __future__ import annotations

import shlex

import pytest

from gradlens.tracking.launch.launchers import instead


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("torchrun --nproc-per-node 2 train.py -x", "torchrun --nproc-per-node 2 -m gradlens track --every 5 train.py -x"),
        ("torchrun --standalone -m pkg.train -x", "torchrun --standalone -m gradlens track --every 5 -m pkg.train -x"),
        ("torchrun --no-python python train.py", "torchrun --no-python python -m gradlens track --every 5 train.py"),
        ("torchrun --no-python train.py", "torchrun -m gradlens track --every 5 train.py"),
        ("torchrun --nnodes 1 run.sh 3", "torchrun --nnodes 1 -m gradlens track --every 5 train.py"),
        ("torchrun --nnodes 1", "torchrun --nnodes 1 -m gradlens track --every 5 train.py"),
        ("accelerate launch --cpu train.py", "accelerate launch --cpu -m gradlens track --every 5 train.py"),
        ("deepspeed --num_gpus 2 train.py", "deepspeed --num_gpus 2 --module gradlens track --every 5 train.py"),
        ("mpirun -np 2 python train.py", "mpirun -np 2 python -m gradlens track --every 5 train.py"),
        ("accelerate launch --config_file c.yml t.py", "accelerate launch --config_file c.yml -m gradlens track --every 5 t.py"),
        ("/opt/bin/torchrun train.py", "torchrun -m gradlens track --every 5 train.py"),
    ],
)  # fmt: skip
def test_launchers(tmp_path, monkeypatch, given, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yml").write_text("compute_environment: LOCAL_MACHINE")
    (tmp_path / "run.sh").write_text("exec python train.py")
    (tmp_path / "run.sh").chmod(0o755)
    target, *arguments = shlex.split(given)

    assert instead(target, arguments, ["--every", "5"], is_module=False) == expected


def test_modules():
    arguments = ["--nproc-per-node", "2", "train.py"]

    said = instead("torch.distributed.run", arguments, [], is_module=True)

    assert said == "python -m torch.distributed.run --nproc-per-node 2 -m gradlens track train.py"
    assert instead("torch.distributed.run", arguments, [], is_module=False) is None  # a file of that name
    assert instead("train.py", arguments, [], is_module=False) is None
