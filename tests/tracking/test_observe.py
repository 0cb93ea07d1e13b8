"""What a script observes goes to the newest tracker, and nowhere if there is none."""

from __future__ import annotations

from gradlens.tracking.observe import listen, listening, observe


def test_the_newest_listener_hears():
    observe("nobody", "hears")
    assert not listening()
    heard = []
    leave = [listen(lambda *pair, name=name: heard.append((name, *pair))) for name in ("old", "new")]
    assert listening()
    observe(1, 2)
    leave[1]()
    observe(3, 4)
    leave[1]()  # a second time does nothing
    leave[0]()
    observe(5, 6)
    assert heard == [("new", 1, 2), ("old", 3, 4)]
    assert not listening()
