"""Losses that torch.compile computes: of a compiled function only inputs and outputs can be seen."""

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
# Nodes above a compiled function that are searched: a loss is scaled and added up after it.
SEARCHED = 200
# Compiled functions that a line names.
SHOWN = 3
# How torch.compile names what follows a break in a function that it has named already.
REST_OF_A_FUNCTION = "torch_dynamo_resume_in_"
# Where code lies that torch.compile meets on its way through the script's: that of torch and of gradlens.
NOT_THE_SCRIPTS = tuple(os.path.dirname(str(package.__file__)) + os.sep for package in (torch, gradlens))


def is_inside(roots: Sequence[Tensor]) -> bool:
    """Says whether a compiled function returned the loss: scalars are all that reaches ``roots`` from it."""
    compiled: set[Edge] = set()
    for node, number in walk(map(edge_of, roots), by_edge=True, ends=compiled, most=SEARCHED):
        if node.name() == NODE:
            if math.prod(node._input_metadata[number].shape) != 1:
                return False
            compiled.add((node, number))
    return bool(compiled)


def functions() -> str | None:
    """Returns the names and places of the functions that torch.compile has compiled; None where there are none."""
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
    """Returns what to say of a loss that a compiled function has returned."""
    return (
        f"the loss is computed inside a function that torch.compile has compiled ({functions() or 'its name is not known'}), "
        "into which nothing can look; let it return the model's output, and call cross_entropy outside of it"
    )


def step_line(compiled: str) -> str:
    """Returns what to say where backward passes can only have run inside of compiled functions.

    Args:
        compiled: The functions.
    """
    return (
        f"no backward pass ran outside of the functions that torch.compile has compiled ({compiled}), into which nothing can "
        "look; compile the model alone, and leave cross_entropy, backward and optimizer.step outside"
    )
