"""Trains with PyTorch Geometric: the labelled nodes of one graph, or batches of small graphs."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, global_mean_pool

G = torch.Generator().manual_seed(1)


def graph(nodes, label=None):
    edges = torch.randint(nodes, (2, 4 * nodes), generator=G)
    return Data(torch.randn(nodes, 8, generator=G).double(), edges, y=label)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = GCNConv(8, 16), GCNConv(16, 4)

    def forward(self, data, pooled):
        x = self.one(data.x, data.edge_index).tanh()
        x = self.two(x, data.edge_index)
        return global_mean_pool(x, data.batch) if pooled else x


def main(kind, epochs):
    torch.manual_seed(0)
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate((24, 16, 5, 3))])
    model = Net().double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if kind == "nodes":
        whole = graph(len(labels), labels)
        known = torch.randperm(len(labels), generator=G)[:40]
        batches = [whole] * 3
    else:
        batches = DataLoader([graph(6, label[None]) for label in labels], batch_size=16, shuffle=True)
    for _ in range(epochs):
        for batch in batches:
            optimizer.zero_grad()
            out = model(batch, kind == "graphs")
            loss = F.cross_entropy(out, batch.y) if kind == "graphs" else F.cross_entropy(out[known], batch.y[known])
            loss.backward()
            optimizer.step()
        print(f"{loss.item():.17g}")
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["nodes", "graphs"])
    parser.add_argument("--epochs", type=int, default=2)
    main(**vars(parser.parse_args()))
