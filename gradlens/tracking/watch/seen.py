"""Seen: what a script has done so far. If nothing was measured, the last line of the run says why by these facts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Seen:
    """Each attribute becomes True when the script has done the thing once.

    Attributes:
        torch: It has imported torch.
        loss: It has called a loss that trains.
        packed: It has used hooks of its own that pack the tensors that autograd saves.
        compiled: It has used a compiled loss.
        backward: It has run a backward pass.
        whole: It has run a backward pass that computes all gradients of a scalar.
        partial: It has run another kind of backward pass.
        gradients: It has called ``torch.autograd.grad`` in a way that may train a model.
        returned: It has done so a second time. Such calls train, unless a backward pass follows.
        other_gradients: It has called ``torch.autograd.grad`` for something else.
    """

    torch: bool = False
    loss: bool = False
    packed: bool = False
    compiled: bool = False
    backward: bool = False
    whole: bool = False
    partial: bool = False
    gradients: bool = False
    returned: bool = False
    other_gradients: bool = False
