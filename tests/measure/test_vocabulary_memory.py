"""A measured step over a large vocabulary needs hardly more memory than another: no copy of the logits for a group."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile

from gradlens import ClassGroups, Lens

VOCABULARY, WIDTH, TOKENS = 9_000, 4, 256
# More than a piece of the scores, as logits of a vocabulary have.
ONE_COPY = 4 * VOCABULARY * TOKENS


class Rows(nn.Module):
    """Treats tokens one by one, so that ``split`` can measure it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, x):
        return self.head(self.embed(x).relu())


def peak_of(step) -> int:
    """Bytes that a step holds at most, above what was there before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    changes = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize("engine", ["masked", "split"])
def test_a_measured_step_holds_no_more_copies_of_the_logits(engine):
    torch.manual_seed(0)
    counts = (1e4 / torch.arange(1, VOCABULARY + 1)).int().tolist()
    groups = ClassGroups.by_frequency(counts)
    model = Rows()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tokens = torch.multinomial(torch.tensor(counts).double(), 3 * TOKENS).view(3, TOKENS)
    tokens[:, 0] = VOCABULARY - 1  # a tail

    def step(x, lens=None):
        optimizer.zero_grad()
        out = model(x)
        loss = F.cross_entropy(out, x)
        lens.backward(loss, x) if lens else loss.backward()

    plain = peak_of(lambda: step(tokens[0]))
    assert plain > 3 * ONE_COPY
    with Lens(model, groups, optimizer=optimizer, every=1, engine=engine) as lens:
        for x in tokens[:2]:  # the first step looks whether a pass can be repeated
            step(x, lens)
            optimizer.step()
        measured = peak_of(lambda: step(tokens[2], lens))
        optimizer.step()
        assert lens.engine_name == engine
        assert lens.last.counts.sum() == TOKENS
        assert min(lens.last.counts) > 0
    assert measured <= 1.1 * plain, (measured / ONE_COPY, plain / ONE_COPY)
