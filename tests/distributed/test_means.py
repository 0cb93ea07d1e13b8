"""Means of vectors over processes, by one all-reduce for each dtype; the processes are stand-ins that add a known number."""

from __future__ import annotations

import pytest
import torch

from gradlens.distributed import means as module
from gradlens.distributed.means import means


class Team:
    """Two processes; the other one has 10 in each entry."""

    size = 2

    def __init__(self) -> None:
        self.sums: list[tuple[int, torch.dtype]] = []

    def sum(self, flat: torch.Tensor) -> torch.Tensor:
        self.sums.append((flat.numel(), flat.dtype))
        return flat.add_(10)


def params(*dtypes: torch.dtype) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(2, 2, dtype=dtype)) for dtype in dtypes]


def test_all_vectors_of_a_dtype_go_at_once_and_gaps_count_as_zero():
    team, both = Team(), params(torch.float32, torch.float64)
    ones = torch.ones(2, 2)
    found = means([((0, 1), [2 * ones, 4 * ones.double()]), ((1, 0), [None, 6 * ones])], both, team)
    assert [[float(part[0, 0]) for part in vector] for vector in found] == [[6.0, 7.0], [5.0, 8.0]]
    assert [[part.dtype for part in vector] for vector in found] == [
        [torch.float32, torch.float64],
        [torch.float64, torch.float32],
    ]
    assert all(part.shape == (2, 2) for vector in found for part in vector)
    assert sorted(team.sums, key=str) == [(8, torch.float32), (8, torch.float64)]


def test_half_precision_is_averaged_in_single():
    team = Team()
    ((mean,),) = means([((0,), [torch.ones(2, 2, dtype=torch.bfloat16)])], params(torch.bfloat16), team)
    assert mean.dtype == torch.float32
    assert mean.tolist() == [[5.5, 5.5], [5.5, 5.5]]


@pytest.mark.parametrize(("bucket", "sizes"), [(12, [12, 4]), (4, [4] * 4), (1, [4] * 4), (16, [16])])
def test_large_vectors_are_sent_in_several_parts(bucket, sizes, monkeypatch):
    monkeypatch.setattr(module, "BUCKET", bucket)
    team, four = Team(), params(*[torch.float32] * 4)
    vector = [torch.full((2, 2), 2.0 * number) for number in range(4)]
    (found,) = means([(range(4), vector)], four, team)
    assert [float(part[1, 1]) for part in found] == [5.0, 6.0, 7.0, 8.0]
    assert [size for size, _ in team.sums] == sizes


def test_nothing_is_sent_for_nothing():
    team = Team()
    assert means([((), [])], params(torch.float32), team) == [[]]
    assert team.sums == []
