"""Own passes are known in the thread that runs them, and leave retained gradients and anomaly detection as they were."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from gradlens.guards import own_pass
from gradlens.guards.own_pass import OwnPass, in_own_pass, note_retained


def test_an_own_pass_is_known_in_its_thread_only():
    heard = {}

    def ask() -> None:
        heard["other thread"] = in_own_pass()

    assert not in_own_pass()
    with OwnPass():
        assert in_own_pass()
        other = threading.Thread(target=ask)
        other.start()
        other.join()
        x = torch.ones(1, requires_grad=True)
        x.register_hook(lambda gradient: heard.update(backward=in_own_pass()))
        (2 * x).backward()
    assert heard == {"other thread": False, "backward": True}
    assert not in_own_pass()


def test_it_ends_once():
    one = OwnPass().begin()
    one.end()
    with OwnPass():
        one.end()  # does not end the other
        assert in_own_pass()
    assert own_pass._running == []


def test_gradients_inside_the_graph_are_put_back():
    x = torch.ones(2, requires_grad=True)
    inside = 3 * x
    inside.retain_grad()
    note_retained(inside)
    loss = (5 * inside).sum()
    loss.backward(retain_graph=True)
    kept = inside.grad
    with OwnPass():
        torch.autograd.grad(loss, x, retain_graph=True)
        inside.grad = torch.full((2,), 99.0)
    assert inside.grad is kept
    assert kept.tolist() == [5.0, 5.0]

    number = id(inside)
    del inside, loss
    gc.collect()
    assert number not in own_pass._retained


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_anomaly_detection_rests_and_comes_back_as_it_was():
    with torch.autograd.detect_anomaly(check_nan=False):
        with OwnPass():
            assert not torch.is_anomaly_enabled()
        assert torch.is_anomaly_enabled()
        assert not torch.is_anomaly_check_nan_enabled()
