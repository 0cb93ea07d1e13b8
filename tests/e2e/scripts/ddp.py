"""Trains on several processes: torchrun --nproc-per-node 2 ddp.py"""

import argparse
import contextlib
import os

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset


def make_data(counts=(40, 24, 9, 7)):
    g = torch.Generator().manual_seed(1)
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    centres = 2 * torch.randn(len(counts), 8, generator=g)
    return TensorDataset((centres[labels] + torch.randn(len(labels), 8, generator=g)).double(), labels)


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).double()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--sharded", action="store_true")
    parser.add_argument(
        "--uneven", choices=["join", "empty"], help="process 1 has no last batch, or one that weighs nothing"
    )
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    data = make_data()
    sampler = DistributedSampler(data, shuffle=True, seed=3)
    loader = DataLoader(data, batch_size=12, sampler=sampler)
    model = make_model()
    if args.sharded:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh)
        net = model
    else:
        net = DistributedDataParallel(model)
    # A process without data takes no step: join() hands it the others' weights, but not their momentum.
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.0 if args.uneven else 0.9)
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        with net.join() if args.uneven == "join" else contextlib.nullcontext():
            for number, (x, y) in enumerate(loader):
                ended = args.uneven and rank == 1 and number + 1 == len(loader)
                if ended and args.uneven == "join":
                    break
                last = (number + 1) % args.accumulate == 0 or number + 1 == len(loader)
                if hasattr(net, "require_backward_grad_sync"):
                    net.require_backward_grad_sync = last
                loss = F.cross_entropy(net(x), y) * (0.0 if ended else 1.0)
                (loss / args.accumulate).backward()
                if last:
                    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                    optimizer.step()
                    optimizer.zero_grad()
        if rank == 0:
            print(f"epoch {epoch}: {loss.item():.17g}")
    state = {k: v.full_tensor() if args.sharded else v for k, v in model.state_dict().items()}
    if rank == 0:
        torch.save(state, "model.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
