"""One thing of a kind is said, on the terminal and in the run's log."""

from __future__ import annotations

from types import SimpleNamespace

from gradlens.tracking.watch.notices import Notices


def test_the_first_of_a_kind_is_said_and_logged(monkeypatch):
    said, logged = [], []
    monkeypatch.setattr(
        "gradlens.tracking.watch.notices.say", lambda text, *, everywhere: said.append((text, everywhere))
    )
    lens = SimpleNamespace(event=lambda kind, message: logged.append((kind, message)))
    there = []
    notices = Notices(lambda: there[0] if there else None)

    notices.say("labels", "before there is a lens")
    there.append(lens)
    notices.say("labels", "again")
    notices.say("internal-error", "ours")

    assert said == [("before there is a lens", False), ("ours", True)]
    assert logged == [("internal-error", "ours")]
    assert notices.said == {"labels": "before there is a lens", "internal-error": "ours"}
