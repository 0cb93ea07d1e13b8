"""Two processes measure what one does with the same global batch; their weights are those of a training without a lens."""

from __future__ import annotations

import re
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

from gradlens import Lens
from gradlens.distributed import TeamError
from tests.distributed import oracle, sync_batch_norm, synchronised
from tests.distributed.processes import together
from tests.distributed.trainings import GROUPS, batches, both, groups, network, normalised, optimizer_of, shard
from tests.e2e import results
from tests.lens.oracle import apart


def shard_and_copy(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "shards"))
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def penalty(model: nn.Module) -> torch.Tensor:
    return 0.01 * sum(param.square().sum() for param in model.parameters())


def with_ignored(steps):
    """In the second step process 1 has no sample of the tail, in the third none at all that counts."""
    steps[1][0][1][1].clamp_(max=2)
    steps[2][0][1][1][:5] = -100
    steps[3][0][0][1].clamp_(max=2)
    steps[3][0][1][1].clamp_(max=2)
    return steps


CASES = {
    "DDP": (DistributedDataParallel, network, batches(), {"update": True, "layers": True}),
    "the model inside of DDP": (DistributedDataParallel, network, batches(), {"inner": True}),
    "uneven batches": (DistributedDataParallel, network, batches(sizes=(8, 3)), {}),
    "no_sync": (DistributedDataParallel, network, batches(micro=3), {}),
    "accumulation that reduces each time": (DistributedDataParallel, network, batches(micro=2), {"unsynced": False}),
    "absent groups": (DistributedDataParallel, network, with_ignored(batches()), {}),
    "batch normalisation": (DistributedDataParallel, normalised, batches(), {}),
    "static graph": (
        partial(DistributedDataParallel, static_graph=True),
        network,
        batches(micro=2),
        {"unsynced": False},
    ),
    "unused parameters": (
        partial(DistributedDataParallel, find_unused_parameters=True),
        network,
        batches(),
        {},
    ),
    "bucket views": (
        partial(DistributedDataParallel, gradient_as_bucket_view=True),
        network,
        batches(micro=2),
        {},
    ),
    "penalty": (DistributedDataParallel, network, batches(), {"penalty": penalty}),
    "averaged by hand": (lambda model: model, network, batches(), {"by_hand": True}),
    "synchronised normalisation": (
        DistributedDataParallel,
        synchronised.network,
        batches(micro=2, sizes=(8, 3)),
        {"joined": True},
    ),
    "SyncBatchNorm of torch, its five CUDA kernels written out for CPUs": (
        lambda model: DistributedDataParallel(sync_batch_norm.converted(model)),
        normalised,
        batches(micro=2, sizes=(8, 3)),
        {"joined": True},
    ),
    "fully_shard": (shard, network, batches(), {"update": True, "layers": True}),
    "fully_shard, accumulation": (shard, network, batches(micro=2), {"unsynced": False}),
    "masked engine": (DistributedDataParallel, network, batches(), {"engine": "masked"}),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_measure_the_global_batch(tmp_path, case):
    wrap, make, steps, options = CASES[case]
    options = dict(options)
    joined = options.pop("joined", False)

    found = together(tmp_path, lambda: both(wrap, make, steps, **options))

    error = expect(found, make, steps, options, joined)
    name = re.sub("[^a-z]+", "-", case.lower())
    facts = {"area": "distributed", "title": f"two processes, {case}", "tracked": True, "instead": ""}
    results.note(f"distributed-{name}", **facts, identical=True, exact=error)


def test_shards_with_copies(tmp_path):
    steps = batches(sizes=(4, 3, 5, 4))

    found = together(tmp_path, lambda: both(shard_and_copy, network, steps), size=4)

    expect(found, network, steps, {}, False)


def expect(found, make, steps, options, joined) -> float:
    grams, weights = oracle.grams(make(), steps, GROUPS, optimizer_of, joined=joined, penalty=options.get("penalty"))
    size, worst = len(GROUPS) + 1, 0.0
    for rank, result in enumerate(found):
        assert len(result["measured"]) == len(steps)
        for t, (measurement, expected) in enumerate(zip(result["measured"], grams, strict=True)):
            assert measurement.step == t, (rank, t)
            gram = measurement.gram[:size, :size]
            absent = np.isnan(np.diag(gram))
            assert absent.tolist() == [count == 0 for count in measurement.counts] + [False]
            expected = np.where(absent[:, None] | absent, np.nan, expected)
            np.testing.assert_allclose(gram, expected, rtol=1e-9, atol=1e-12 * np.nanmax(expected))
            known = ~absent & (np.diag(expected) > 0)
            worst = max(worst, apart(gram[np.ix_(known, known)], expected[np.ix_(known, known)]))
            labels = torch.cat([part[1] for micro in steps[t] for part in micro])
            counts = [int(torch.isin(labels, torch.tensor(ids)).sum()) for ids in GROUPS]
            assert measurement.counts.tolist() == counts
            assert not measurement.residual > 1e-6
        if options.get("layers"):
            np.testing.assert_allclose(
                result["measured"][0].layers.sum(0), result["measured"][0].gram, rtol=1e-5, atol=1e-7
            )
        if joined or not any(isinstance(module, nn.BatchNorm1d) for module in make()):
            for name, value in weights.items():
                torch.testing.assert_close(result["weights"][name], value, rtol=1e-9, atol=1e-12)
    return worst


def test_update_is_what_the_optimizer_takes_off(tmp_path):
    found = together(tmp_path, lambda: both(shard, network, batches(), update=True))

    # The first step of SGD with momentum takes 0.1 times the gradient.
    first = found[0]["measured"][0]
    total = np.nansum(first.gram[:3, :3])
    assert first.names[-1] == "update"
    assert first.gram[3, 3] == pytest.approx(0.01 * total, rel=1e-9)


def refused():
    """What the lens says to sharings that it cannot treat."""
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (2,))
    split = parallelize_module(network(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    partly = network()
    fully_shard(partly[0], mesh=mesh)
    alone = DistributedDataParallel(network(), process_group=[dist.new_group([r]) for r in range(2)][dist.get_rank()])
    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: it is deprecated
        flat = FullyShardedDataParallel(network(), device_id=torch.device("cpu"))
    for model in (split, partly, alone, flat):
        try:
            Lens(model, groups(), optimizer=optimizer_of(model.parameters()))
        except TeamError as error:
            said.append(str(error))
    return said


def test_other_sharings_are_refused_with_a_reason(tmp_path):
    for said in together(tmp_path, refused):
        assert len(said) == 4
        assert "not sharded like the others" in said[0] or "other means than fully_shard" in said[0]
        assert said[1].startswith("2 of 4 parameters are not sharded")
        assert said[2].startswith("DistributedDataParallel spans 1 of 2 processes")
        assert said[3].startswith("FullyShardedDataParallel hides the parameters in flat ones")
    titles = (
        "tensor parallelism (parallelize_module)", "a model that fully_shard splits in part only",
        "DistributedDataParallel over some of the processes", "FullyShardedDataParallel of torch 1",
    )  # fmt: skip
    for title, instead in zip(titles, said, strict=True):
        name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
        results.note(
            f"distributed-refused-{name}", area="distributed", title=title, tracked=False, identical=None, exact=None,
            instead=instead.partition(";")[0],
        )  # fmt: skip


def synchronised_by_torch():
    try:
        nn.SyncBatchNorm(3)(torch.randn(4, 3))
    except ValueError as error:
        return str(error)
    return None


def test_synchronised_normalisation_of_torch_needs_a_gpu(tmp_path):
    assert "SyncBatchNorm expected input tensor to be on GPU" in together(tmp_path, synchronised_by_torch)[0]
    results.note(
        "distributed-sync-batch-norm-cpu", area="distributed", title="SyncBatchNorm on CPUs, which torch refuses",
        tracked=False, identical=None, exact=None, instead="SyncBatchNorm expected input tensor to be on GPU",
    )  # fmt: skip
