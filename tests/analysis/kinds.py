"""Runs of different kinds: other data sets, balances and networks."""

from tests.made_runs import make_run

EVEN, TAILED = (1.0, 1.0), (1.0, 0.1)


def run(folder, name, weights, dataset=None, seed=0, **more):
    """Returns a run whose batches hold the groups in proportion to classes times weights."""
    return make_run(folder / name, steps=40, weights=weights, seed=seed, meta={"dataset": dataset}, **more)


def renamed(path, layers, dataset=None):
    """Returns a very long-tailed run of a network whose layers have other names."""
    names = tuple(f"stage.{i}" for i in range(layers))
    meta = {"layer_names": names, "dataset": dataset}
    return make_run(path, steps=40, weights=(1.0, 0.01), layers=layers, meta=meta)
