"""Branching off the end of a phase: what comes out is bit for bit what training everything gives, or it is refused."""

import shutil

import pytest
import torch

from gradlens.longtail.methods import CE, DUAL_PHASE
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.branching import branch_point
from gradlens.longtail.training.checkpoint import FILE, CheckpointError, phase_file
from gradlens.longtail.training.divergence import DivergedError
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.longtail.same_state import assert_same

EPOCHS = {"epochs": 2, "memory": 4}
# A value of each setting that differs from the default, and whether phase I can tell.
OTHERS = {
    "batch": (16, True), "learning_rate": (0.02, True), "schedule": ("steps", True), "steps_at": ((0.1, 0.2), False),
    "warm_up": (2, True), "momentum": (0.5, True), "weight_decay": (0.01, True), "scale": (5.0, True),
    "head_classes": (4, True), "sampler": ("shuffled", True), "memory": (9, False), "selection": ("random", False),
    "imprint": (False, False), "tau": (1.0, False), "retention_weight": (0.25, False), "retention_reduction": ("sum", False),
    "retention_detach": (True, False), "intra": (False, False), "intra_margin": (0.1, False), "intra_hardest": (None, False),
    "intra_negatives": ("all", False), "intra_samples": ("all", False), "epochs_2": (1, False),
    "learning_rate_2": (0.01, False), "sampler_2": ("progressive", False), "steps_by": (0.5, False),
    "precision": ("bfloat16", True), "memory_format": ("channels_last", True),
    "augmentation": ("rotation", True),
}  # fmt: skip


@pytest.fixture(scope="module")
def source(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    fit(DUAL_PHASE.on(task, EPOCHS), task, seed=4, folder=folder)
    return folder


def recipe(task, **changes):
    return DUAL_PHASE.on(task, EPOCHS | changes, "a test")  # on the command line steps_at is refused with a cosine


def test_every_setting_but_those_of_the_whole_is_tried(task):
    assert set(OTHERS) == set(DUAL_PHASE.on(task).settings) - {"backbone", "epochs", "compile"}


@pytest.mark.parametrize("setting", OTHERS)
def test_what_can_be_shared_is_found_out_setting_by_setting(task, source, tmp_path, setting):
    value, matters = OTHERS[setting]
    changed = recipe(task, **{setting: value})
    fit(changed, task, seed=4, folder=tmp_path / "whole")
    whole, shared = (torch.load(folder / phase_file(0), weights_only=True) for folder in (tmp_path / "whole", source))
    trained_alike = all(
        torch.equal(value, shared["model"].get(name, torch.empty(0))) for name, value in whole["model"].items()
    )
    assert trained_alike is not matters
    if matters:
        with pytest.raises(CheckpointError, match="up to the end of phase 'I' the trainings differ in "):
            branch_point(source, changed, task, seed=4)
        return
    fitted = fit(changed, task, seed=4, folder=tmp_path / "branched", start=branch_point(source, changed, task, seed=4))
    assert [row["epoch"] for row in fitted.history] == list(range(1, 5 if setting != "epochs_2" else 4))
    assert_same(*(torch.load(tmp_path / name / FILE, weights_only=True) for name in ("branched", "whole")))


def test_an_ordinary_checkpoint_from_the_end_of_a_phase_will_do(task, source, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / FILE).write_bytes((source / phase_file(0)).read_bytes())
    start = branch_point(tmp_path / "old", recipe(task, memory=2), task, seed=4)
    assert (start.phase, start.epoch) == (0, 2)


def test_a_lens_changes_nothing_and_its_run_tells_of_phase_two(task, source, tmp_path):
    changed = recipe(task, tau=1.0)
    whole = run_training(changed, task, tmp_path / "whole", seed=4, watching=Watching(every=1, probe_every=0))
    watching, start = Watching(every=1, probe_every=0), branch_point(source, changed, task, seed=4)
    branched = run_training(changed, task, tmp_path / "branched", seed=4, resume=True, watching=watching, start=start)
    assert_same(*(torch.load(one.folder / FILE, weights_only=True) for one in (branched, whole)))
    run, complete = Run(branched.folder), Run(whole.folder)
    assert run.status.state == "finished"
    assert run.meta.extra["branched_after_phase"] == "I"
    assert [phase.name for phase in run.phases] == ["II"]
    assert run.steps.tolist() == complete.steps.tolist()[20:]
    assert torch.equal(torch.from_numpy(run.gram()), torch.from_numpy(complete.gram()[20:]))


def test_what_cannot_be_branched_off_is_refused(task, source, tmp_path):
    for folder, other, data, options, says in (
        (source, recipe(task), task, {"seed": 5}, "seed: 4 there, 5 here"),
        (source, recipe(task), task, {"seed": 4, "max_steps": 1}, "max_steps: absent there, 1 here"),
        (source, recipe(task), digits_task(imbalance=20), {"seed": 4}, "subset: "),
        (source, recipe(task, epochs=3), task, {"seed": 4}, "epochs of phase 'I'"),
        (source, CE.on(task), task, {"seed": 4}, "not from the end of a phase that another one follows"),
        (tmp_path, recipe(task), task, {"seed": 4}, f"neither {FILE} nor {phase_file(0)}"),
    ):
        with pytest.raises(CheckpointError, match=says):
            branch_point(folder, other, data, **options)


def test_the_middle_of_a_phase_is_refused(task, source, tmp_path):
    stored = torch.load(source / phase_file(0), weights_only=True)
    stored["epoch"] = 1
    torch.save(stored, tmp_path / FILE)
    with pytest.raises(CheckpointError, match="not from the end of a phase"):
        branch_point(tmp_path, recipe(task), task, seed=4)


def test_a_damaged_checkpoint_names_the_end_of_the_phase_from_which_the_training_goes_on(task, source, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    whole = torch.load(folder / FILE, weights_only=True)
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=f"copy {folder / phase_file(0)} over it and resume"):
        fit(recipe(task), task, seed=4, folder=folder, resume=True)
    shutil.copy(folder / phase_file(0), folder / FILE)
    fit(recipe(task), task, seed=4, folder=folder, resume=True)
    assert_same(torch.load(folder / FILE, weights_only=True), whole)


def test_a_diverging_phase_two_names_the_phase_from_which_a_gentler_one_starts(task, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(DivergedError) as raised:
        fit(recipe(task, learning_rate_2=1e30), task, seed=4, folder=folder)
    for part in ("learning_rate_2", repr(str(folder)), phase_file(0), str(folder / FILE), "in another folder"):
        assert part in str(raised.value)
    gentler = recipe(task, learning_rate_2=0.01)
    assert branch_point(folder, gentler, task, seed=4).phase == 0
