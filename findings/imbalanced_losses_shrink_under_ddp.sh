#!/usr/bin/env bash
# The losses of imbalanced-losses make gradients smaller by the number of processes under DDP.
#
# One expects a loss that is a mean over all samples to give the gradient of one process with the whole batch, as the mean
# cross-entropy does; the documentation says that gathering matches the usual meaning of DDP. By default the loss gathers the logits
# of all processes and takes their mean, each process gets the gradient of its own part only, and DDP then averages the parts where
# they would have to be added. With SGD eight processes train at an eighth of the learning rate; the value of the loss is right,
# so nothing shows it. gather_distributed=False gives the right gradient. With gamma 0 the focal loss is the cross-entropy.
# Seen with imbalanced-losses 0.6.0 and torch 2.15.0; processes talk over loopback with gloo.
# Output seen:
#   processes 1, CrossEntropyLoss: 0.497
#   processes 1, SoftmaxFocalLoss: 0.497
#   processes 1, SoftmaxFocalLoss without gathering: 0.497
#   processes 2, CrossEntropyLoss: 0.497
#   processes 2, SoftmaxFocalLoss: 0.249
#   processes 2, SoftmaxFocalLoss without gathering: 0.497
#   processes 4, CrossEntropyLoss: 0.497
#   processes 4, SoftmaxFocalLoss: 0.124
#   processes 4, SoftmaxFocalLoss without gathering: 0.497
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'imbalanced-losses==0.6.0' 'torch==2.15.0' 'numpy==2.4.0'
cat > "$folder/show.py" <<'PYTHON'
import os
import sys

import torch
from imbalanced_losses import SoftmaxFocalLoss
from torch import distributed, nn
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

LOSSES = {
    "CrossEntropyLoss": nn.CrossEntropyLoss,
    "SoftmaxFocalLoss": lambda: SoftmaxFocalLoss(gamma=0.0),
    "SoftmaxFocalLoss without gathering": lambda: SoftmaxFocalLoss(gamma=0.0, gather_distributed=False),
}


def run(rank: int, processes: int, folder: str) -> None:
    """Prints the norm of the gradient of the same eight samples, shared out to the processes."""
    distributed.init_process_group("gloo", f"file://{folder}/meet{processes}", rank=rank, world_size=processes)
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(4, 3))
    images, labels = torch.randn(8, 4).chunk(processes)[rank], (torch.arange(8) % 3).chunk(processes)[rank]
    for name, loss in LOSSES.items():
        model.zero_grad()
        loss()(model(images), labels).backward()
        if rank == 0:
            print(f"processes {processes}, {name}: {model.module.weight.grad.norm().item():.3f}", flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    for processes in (1, 2, 4):
        start_processes(run, (processes, sys.argv[1]), nprocs=processes, start_method="fork")
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py" "$folder")
echo "$found"
expected='processes 1, CrossEntropyLoss: 0.497
processes 1, SoftmaxFocalLoss: 0.497
processes 1, SoftmaxFocalLoss without gathering: 0.497
processes 2, CrossEntropyLoss: 0.497
processes 2, SoftmaxFocalLoss: 0.249
processes 2, SoftmaxFocalLoss without gathering: 0.497
processes 4, CrossEntropyLoss: 0.497
processes 4, SoftmaxFocalLoss: 0.124
processes 4, SoftmaxFocalLoss without gathering: 0.497'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
