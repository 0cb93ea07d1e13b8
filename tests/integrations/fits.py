"""Fits without and with a callback, whose weights must be the same."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from gradlens import ClassGroups

GROUPS = ClassGroups({"head": (0, 1), "tail": (2, 3)}, 4)


def fits(main, callback, folder: Path):
    """Returns the weights without and with the callback."""
    main()
    bare = torch.load("model.pt")
    functions = F.cross_entropy, torch.Tensor.backward
    main(callbacks=[callback])
    assert (F.cross_entropy, torch.Tensor.backward) == functions, "torch is left as it was"
    return bare, torch.load("model.pt")


def expect_same(bare, found) -> None:
    assert bare.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in bare.items())
