"""`gradlens track --members`: real programs whose batches tell a domain, against brute force over the samples of each domain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.runlog import Run
from tests.e2e import results
from tests.e2e.both import run_both, said
from tests.lens.oracle import apart, gram

NUMBERS = ("--members", "batch.domain", "--groups", "photo=0,drawn=1-2")
TEXTS = ("--members", "batch['domain']", "--groups", "photo=photo,drawn=sketch+cartoon")
VALUES = ((0,), (1, 2), (3,))
CASES = {
    "tuple": ("an attribute in the batch, each value a group", ("--members", "batch[2]"), ((0,), (1,), (2,), (3,))),
    "dict": ("an attribute in the batch (dict), groups of values named", NUMBERS, VALUES),
    "texts": ("an attribute in the batch as texts, groups of values named", TEXTS, VALUES),
    "chunks": ("an attribute in the batch, cross_entropy in chunks", NUMBERS, VALUES),
    "accumulate": ("an attribute in the batch, gradient accumulation", NUMBERS, VALUES),
}


def brute_force(
    steps: list[Any], values: tuple[tuple[int, ...], ...]
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    def of(step: int) -> tuple[np.ndarray, np.ndarray]:
        vectors: list[list[Tensor]] = []
        counts = np.zeros(len(values))
        for k, group in enumerate(values):
            total: list[Tensor] | None = None
            for state, x, y, domain in steps[step]:
                model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 3))
                model.load_state_dict(state)
                model.double()
                inside = torch.isin(domain, torch.tensor(group))
                counts[k] += int(inside.sum())
                terms = F.cross_entropy(model(x.double()), y, reduction="none") / len(y) / len(steps[step])
                found = torch.autograd.grad((terms * inside).sum(), list(model.parameters()))
                total = list(found) if total is None else [a + b for a, b in zip(total, found, strict=True)]
            assert total is not None
            vectors.append(total)
        return gram(vectors), counts

    return of


@pytest.mark.slow
@pytest.mark.parametrize("style", CASES)
def test_domains_are_measured_exactly(style: str, tmp_path: Path) -> None:
    title, options, values = CASES[style]
    done = run_both(tmp_path, "members.py", style, options=("--every", "1", *options))
    done.assert_same_training()
    run = done.run
    assert run.groups.members == ("batch[2]" if style == "tuple" else "domain")
    assert not [event for event in run.events if event["kind"] == "internal-error"], run.events
    truth = brute_force(torch.load(tmp_path / "tracked" / "steps.pt"), values)
    steps = run.steps.tolist()
    assert steps == list(range(steps[0], 6 if style in ("accumulate", "chunks") else 12))
    # Where no option names the values, and the data set does not tell them, they are counted in the first pass.
    assert steps[0] == (6 if style == "tuple" else 0)
    worst = 0.0
    for row, step in enumerate(steps):
        expected, counts = truth(step)
        known = counts > 0
        found = np.asarray(run.gram()[row])[: len(values), : len(values)]
        if values is VALUES:  # values that no group names count as rest
            found = np.where(np.outer([1, 1, known[2]], [1, 1, known[2]]) > 0, found, np.nan)
            np.testing.assert_array_equal(run.counts[row], counts[:2])
        else:
            np.testing.assert_array_equal(run.counts[row], counts)
        worst = max(worst, apart(found[np.ix_(known, known)], expected[np.ix_(known, known)]))
    results.note(
        f"members-{style}",
        area="data",
        title=title,
        tracked=True,
        instead="",
        identical=True,
        exact=worst,
        steps=len(run),
        engine=run.meta.engine,
    )
    assert worst <= 1e-4


@pytest.mark.slow
def test_mixed_samples_have_no_single_domain(tmp_path: Path) -> None:
    done = run_both(tmp_path, "members.py", "mixup", options=("--every", "1", *NUMBERS))
    done.assert_same_training()
    assert said(
        done.tracked, "the loss mixes samples (a row has several labels), so a row has no single value of batch.domain"
    )
    assert not any(len(Run(folder)) for folder in (tmp_path / "tracked" / "runs").glob("*"))
    results.note(
        "members-mixup",
        area="data",
        title="an attribute in the batch, mixup",
        tracked=False,
        instead="the loss mixes samples",
        identical=True,
        exact=None,
    )
