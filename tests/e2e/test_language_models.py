"""Language models under `gradlens track --groups frequency`: the same bits, and tokens' Grams and hits as by brute force."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from gradlens.runlog import Run
from tests.e2e import results
from tests.lens.oracle import apart
from tests.tracking.processes import plain, run, tracked

SCRIPTS = Path(__file__).parent / "scripts"
BRUTE_FORCE = str(Path(__file__).parent / "brute_force.py")
OFFLINE = {"HF_HUB_OFFLINE": "1"}
OPTIONS = ("--every", "1", "--groups", "frequency", "--out", "run")


@dataclass(frozen=True)
class LanguageModel:
    """One case.

    Attributes:
        kind: Argument of ``scripts/language_model.py``.
        title: What it is, for people.
        counted: Words of the groups' rule: where the tokens were counted.
        begins: Steps that are over when the tokens are counted.
        needs: Libraries without which it is skipped.
    """

    kind: str
    title: str
    counted: str
    begins: int
    needs: tuple[str, ...] = ()


FIRST = "labels of the first 20 backward passes"
_CASES = (
    LanguageModel("nanogpt", "nanoGPT's loop: tied weights, accumulation, ignore_index=-1", FIRST, 10),
    LanguageModel("mingpt", "minGPT's loop: targets.view(-1), -1 where nothing is asked", FIRST, 20),
    LanguageModel(
        "trainer", "Transformers' Trainer, a causal model: shifted labels, -100", "Sentences.labels", 0, ("transformers",)
    ),
    LanguageModel(
        "lora", "peft's LoRA in Transformers' Trainer", "Sentences.labels", 0, ("transformers", "peft")
    ),
    LanguageModel("sft", "TRL's SFTTrainer with compute_loss_func", "column 'labels'", 0, ("transformers", "trl", "datasets")),
)  # fmt: skip


def _cases() -> Iterator[object]:
    for case in _CASES:
        missing = [name for name in case.needs if importlib.util.find_spec(name) is None]
        skip = pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")
        yield pytest.param(case, id=case.kind, marks=[pytest.mark.slow, skip])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", list(_cases()))
def test_language_model(case: LanguageModel, tmp_path: Path) -> None:
    for name in ("plain", "tracked", "brute"):
        shutil.copytree(SCRIPTS, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = ("language_model.py", case.kind)
    expected = plain(tmp_path / "plain", *program, **OFFLINE)
    found = tracked(tmp_path / "tracked", *program, options=OPTIONS, **OFFLINE)

    assert expected.code == 0, expected.err
    assert found.code == 0, (found.err, found.said)
    weights, same = (torch.load(tmp_path / name / "model.pt") for name in ("plain", "tracked"))
    assert weights.keys() == same.keys()
    assert all(torch.equal(same[name], value) for name, value in weights.items())

    measured = Run(tmp_path / "tracked" / "run")
    assert not [event for event in measured.events if event["kind"] == "internal-error"], measured.events
    assert case.counted in measured.groups.rule, measured.groups.rule
    assert measured.groups.names == ("head", "middle", "tail")
    begun = int(measured.steps[0])
    assert begun - case.begins in (0, 1)
    ids = ";".join(",".join(map(str, group)) for group in measured.groups.classes)
    done = run(["python", BRUTE_FORCE, ids, *program], tmp_path / "brute", **OFFLINE)
    assert done.code == 0, done.err
    grams, scores = (torch.load(tmp_path / "brute" / name).numpy() for name in ("grams.pt", "scores.pt"))
    assert measured.steps.tolist() == list(range(begun, len(grams)))
    np.testing.assert_array_equal(measured.counts, scores[begun:, 0])
    accuracy = scores[begun:, 1] / np.where(scores[begun:, 0] > 0, scores[begun:, 0], np.nan)
    np.testing.assert_allclose(
        np.stack([measured.quantity("accuracy", name) for name in measured.groups.names], 1), accuracy
    )
    assert (grams[begun:, 3, 3] <= 1e-9 * grams[begun:].max()).all()
    error = max(
        apart(gram[np.ix_(known, known)], truth[:3, :3][np.ix_(known, known)])
        for gram, truth, known in zip(measured.gram()[:, :3, :3], grams[begun:], measured.counts > 0, strict=True)
    )
    area = "framework" if case.needs else "loop"
    results.note(
        f"language-{case.kind}", area=area, title=case.title, tracked=True, identical=True, exact=error, instead="",
        steps=len(measured), engine=measured.meta.engine,
    )  # fmt: skip
    assert error < 1e-6
