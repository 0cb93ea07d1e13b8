"""A lens: which options it takes, its folder, and its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradlens import Lens
from tests.engines.zoo import GROUPS
from tests.lens.training import hooks, mlp

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0"),
        ({"every": 1.5}, "every=1.5"),
        ({"budget": 0}, "budget=0"),
        ({"budget": 2}, "budget=2"),
        ({"every": 1, "budget": 0.1}, "exclude each other"),
        ({"engine": "turbo"}, "engine='turbo'; choose one of auto, masked, split, func"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        Lens(mlp(), GROUPS, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_taken_is_an_error_before_training(tmp_path: Path) -> None:
    from gradlens.runlog import RunExistsError

    (tmp_path / "file").write_text("mine")
    model = mlp()
    with pytest.raises(RunExistsError):
        Lens(model, GROUPS, out=tmp_path)
    assert hooks(model) == 0
    assert (tmp_path / "file").read_text() == "mine"


def test_a_closed_lens_cannot_be_entered_again() -> None:
    with Lens(mlp(), GROUPS) as lens:
        pass
    with pytest.raises(RuntimeError, match="this lens was closed and measures nothing more; make a new one"), lens:
        pass
