"""What the script's functions print, log or warn of in own passes is not heard; all else is."""

from __future__ import annotations

import logging
import sys
import threading
import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradlens import ClassGroups, Lens
from gradlens.guards.own_pass import OwnPass, aloud
from gradlens.guards.silence import Silence
from tests.measure.preflight.trainings import function
from tests.tracking.in_process import finished, trackers


def speak(text: str) -> None:
    print(text, flush=True)
    sys.stderr.writelines([f"{text} to stderr\n"])
    logging.getLogger("spoken").warning(text)
    warnings.warn(text, stacklevel=2)


def test_only_the_thread_of_an_own_pass_is_silent(capsys, caplog, recwarn):
    before = sys.stdout, sys.stderr, logging.Logger.handle, warnings.warn
    with OwnPass():
        speak("own")
        assert sys.stdout.encoding == before[0].encoding
        other = threading.Thread(target=speak, args=("other",))
        other.start()
        other.join()
        aloud(speak, "aloud")
        speak("own again")
    speak("after")

    assert (sys.stdout, sys.stderr, logging.Logger.handle, warnings.warn) == before
    said = capsys.readouterr()
    assert said.out == "other\naloud\nafter\n"
    assert said.err == "other to stderr\naloud to stderr\nafter to stderr\n"
    assert [record.message for record in caplog.records] == ["other", "aloud", "after"]
    assert [str(warning.message) for warning in recwarn] == ["other", "aloud", "after"]


def test_what_others_put_in_place_stays(monkeypatch):
    theirs = sys.stderr
    monkeypatch.setattr(sys, "stdout", None)  # as under pythonw
    silence = Silence(lambda: True)
    silence.begin()
    assert sys.stdout is None
    sys.stderr = theirs
    silence.end()
    assert sys.stderr is theirs


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("forward")
        return self.layer(x)


def train() -> None:
    torch.manual_seed(0)
    between = function(lambda _, g: print(f"backward {float(g.norm()):.6f}") or g)
    block, head = Block(), nn.Linear(8, 4)
    optimizer = torch.optim.SGD([*block.parameters(), *head.parameters()], lr=0.1)
    for _ in range(4):
        x, y = torch.randn(12, 6), torch.randint(0, 4, (12,))
        loss = F.cross_entropy(head(between(checkpoint(block, x, use_reentrant=False))), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_a_training_prints_each_line_as_often_as_without_tracking(tmp_path, capsys):
    train()
    expected = capsys.readouterr().out
    assert expected.count("\n") == 12
    with trackers(tmp_path / "run") as start:
        tracker = start(every=1, groups="head=0-1,tail=2-3")
        train()
        assert len(finished(tracker, tmp_path)) >= 3
    assert capsys.readouterr().out == expected


def test_what_gradlens_announces_in_an_own_pass_is_heard(capsys):
    """The engine is found unfit inside the pass, and the user's function prints why."""
    torch.manual_seed(0)
    model = nn.Sequential(Block(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    groups = ClassGroups.parse("head=0-1,tail=2-3", 4)
    with Lens(model, groups, optimizer=optimizer, every=1, announce=print) as lens, OwnPass():
        lens._recorder.warn("kind", 0, "a warning")
    assert "a warning" in capsys.readouterr().out


def test_a_warning_that_is_heard_names_the_line_that_warned():
    silences = [Silence(lambda: False) for _ in range(2)]  # the second stands for one whose end has failed
    for silence in silences:
        silence.begin()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            warnings.warn("look here", FutureWarning)  # noqa: B028
            warnings.warn("and here", stacklevel=1)
    finally:
        for silence in reversed(silences):
            silence.end()
    assert [(each.filename, each.category) for each in said] == [(__file__, FutureWarning), (__file__, UserWarning)]
