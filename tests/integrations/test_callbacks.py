"""The callbacks, in real fits of small models: the same weights, and what `gradlens track` would measure."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gradlens import ClassGroups
from gradlens.runlog import Run

SCRIPTS = Path(__file__).parents[1] / "e2e" / "scripts"
GROUPS = ClassGroups({"head": (0, 1), "tail": (2, 3)}, 4)


@pytest.fixture
def script(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def load(name: str):
        return importlib.import_module(name)

    yield load
    for name in ("lightning_fit", "hf_trainer", "ddp"):
        sys.modules.pop(name, None)


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


@pytest.mark.slow
def test_lightning(script, tmp_path):
    from gradlens.integrations.lightning import LensCallback

    callback = LensCallback(GROUPS, out=tmp_path / "run", every=1, layers=True)
    expect_same(*fits(script("lightning_fit").main, callback, tmp_path))

    run = Run(callback.run_path)
    assert run.path == tmp_path / "run"
    assert run.status.state == "finished"
    assert run.steps.tolist() == list(range(1, 8))
    assert run.epoch.tolist() == [0] * 3 + [1] * 4
    assert run.groups.names == ("head", "tail")
    assert [evaluation["split"] for evaluation in run.evaluations] == ["val", "val"]
    assert 0 < run.evaluations[0]["val_acc"] <= 1
    assert callback.lens is None


@pytest.mark.slow
def test_a_fit_that_fails(script, tmp_path):
    from gradlens.integrations.lightning import LensCallback

    module = script("lightning_fit")
    ordinary = module.Classifier.training_step

    def failing(self, batch, batch_idx):
        if self.global_step == 2:
            raise ArithmeticError("no more")
        return ordinary(self, batch, batch_idx)

    module.Classifier.training_step = failing
    callback = LensCallback("head=0-1,tail=2-3", every=1)
    with pytest.raises(ArithmeticError):
        module.main(callbacks=[callback])

    run = Run(tmp_path / "runs" / "lightning")
    assert run.status.state == "failed"
    assert run.status.reason == "ArithmeticError: no more"


@pytest.mark.slow
def test_transformers(script, tmp_path):
    from gradlens.integrations.transformers import LensCallback

    callback = LensCallback(GROUPS, every=2)
    main = script("hf_trainer").main
    expect_same(*fits(lambda **named: main("bert", **named), callback, tmp_path))

    run = Run(tmp_path / "runs" / "transformers")
    assert callback.run_path == run.path
    assert run.status.state == "finished"
    assert run.steps.tolist() == [2, 4]
    assert len(run.evaluations) == 2
    assert run.evaluations[0]["eval_loss"] > 0


def test_wrong_use_is_said_before_training():
    from gradlens.integrations.tracked_fit import options_of

    with pytest.raises(ValueError, match="exclude each other"):
        options_of(None, None, 1, 0.1)
    with pytest.raises(ValueError, match="groups: "):
        options_of("head:0-69", None, None, None)
    assert options_of(GROUPS, None, 3, None).groups_from == GROUPS.to_json()
