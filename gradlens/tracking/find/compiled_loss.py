"""Finds losses that are computed inside a function compiled by torch.compile. Only its inputs and outputs can be seen."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

import gradlens
from gradlens.autograd.graph import Edge, edge_of, walk

NODE = "CompiledFunctionBackward"
# At most this many nodes between the root and a compiled function are searched: a loss may be scaled and added up there.
SEARCHED = 200
# A line names at most this many compiled functions.
SHOWN = 3
# The names that torch.compile gives to the rest of a function after a graph break begin so.
REST_OF_A_FUNCTION = "torch_dynamo_resume_in_"
# Folders of torch and gradlens: torch.compile also compiles functions there that the script calls.
NOT_THE_SCRIPTS = tuple(os.path.dirname(str(package.__file__)) + os.sep for package in (torch, gradlens))


def is_inside(roots: Sequence[Tensor]) -> bool:
    """Says whether a compiled function has returned the loss: ``roots`` use only scalars of compiled functions."""
    compiled: set[Edge] = set()
    for node, number in walk(map(edge_of, roots), by_edge=True, ends=compiled, most=SEARCHED):
        if node.name() == NODE:
            if math.prod(node._input_metadata[number].shape) != 1:
                return False
            compiled.add((node, number))
    return bool(compiled)


def functions() -> str | None:
    """Returns a text with the names and places of the functions that torch.compile has compiled; None if there are none."""
    utils = sys.modules.get("torch._dynamo.utils")
    if utils is None:
        return None
    named = dict.fromkeys(
        f"{metrics.co_name} ({os.path.basename(metrics.co_filename)}:{metrics.co_firstlineno})"
        for metrics in utils.get_compilation_metrics()
        if metrics.co_name
        and metrics.co_filename
        and not metrics.co_name.startswith(REST_OF_A_FUNCTION)
        and not metrics.co_filename.startswith(NOT_THE_SCRIPTS)
    )
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return ", ".join(list(named)[:SHOWN]) + more if named else None


def loss_line() -> str:
    """Returns the line about a loss that a compiled function has returned."""
    return (
        f"the loss is computed inside a function that torch.compile has compiled ({functions() or 'its name is not known'}), "
        "so gradlens cannot see it; let the function return the model's output, and call cross_entropy outside of it"
    )


def step_line(compiled: str) -> str:
    """Returns the line about a training whose backward passes run inside compiled functions.

    Args:
        compiled: The text of ``functions``.
    """
    return (
        f"no backward pass ran outside of the functions that torch.compile has compiled ({compiled}), so gradlens "
        "cannot see them; compile the model alone, and leave cross_entropy, backward and optimizer.step outside"
    )
