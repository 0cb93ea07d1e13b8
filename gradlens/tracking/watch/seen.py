"""What was seen of a script so far; where nothing was measured, the end says why by it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Seen:
    """Each is true once it was seen.

    Attributes:
        torch: The script imports torch.
        loss: A loss call that trains.
        packed: Hooks of the script's own pack what autograd saves.
        compiled: A compiled loss.
        backward: A backward pass.
        whole: A backward pass that asks for all gradients of a scalar.
        partial: Another backward pass.
        gradients: Gradients that the script computes, and that may train something.
        returned: The same a second time: such gradients train, unless a backward pass follows.
        other_gradients: Gradients that the script computes for something else.
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
