"""A process that has run out of data inside of ``Join`` is told of, until all have."""

from __future__ import annotations

from types import SimpleNamespace

from torch.distributed.algorithms.join import Join

from gradlens.distributed.joining import JOIN, JoinListener
from gradlens.guards.patches import listen


def test_listeners_pause_and_go_on_when_nobody_has_data(monkeypatch):
    left = iter([2, 1, 0])
    monkeypatch.setattr(Join, "_get_num_nonjoined_procs", lambda self: next(left))
    heard: list[str] = []
    end = listen(JOIN, JoinListener(lambda: heard.append("pause"), lambda: heard.append("resume")))
    try:
        join = SimpleNamespace()
        assert [Join._get_num_nonjoined_procs(join) for _ in range(3)] == [2, 1, 0]
    finally:
        end()
    assert heard == ["pause", "pause", "pause", "resume"]
