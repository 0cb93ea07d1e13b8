"""What a tracked program says of what is not measured, and how it ends."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.e2e.both import EVERY, SCRIPTS, said
from tests.e2e.styles import GROUPS
from tests.tracking.processes import tracked

# What torch itself says of 120 logits and 119 labels.
WRONG_LABELS = "ValueError: Expected input batch_size (120) to match target batch_size (119)."


@pytest.mark.slow
def test_the_end_says_which_models_trained_unmeasured(both):
    done = both("several_models.py", options=(*EVERY, *GROUPS))

    done.assert_same_training()
    assert done.run.steps.tolist() == [1, 2, 3, 4, 5]
    assert done.tracked.said[-1].startswith(
        "not measured: 12 optimizer steps by 2 optimizers of other models (SGD of Sequential); to measure them,"
    )
    assert [event["message"] for event in done.run.events if event["kind"] == "other models"] == [done.tracked.said[-1]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "line"),
    [
        (
            "loss",
            "the loss is computed inside a function that torch.compile has compiled (forward (compiled_loss.py:19))",
        ),
        (
            "observe",
            "the loss is computed inside a function that torch.compile has compiled (forward (compiled_loss.py:19))",
        ),
        ("step", "no backward pass ran outside of the functions that torch.compile has compiled (train_step"),
    ],
)
def test_what_is_inside_a_compiled_function_is_said(both, how, line):
    done = both("compiled_loss.py", how, options=(*EVERY, *GROUPS))

    done.assert_same_training()
    assert len(done.tracked.said) == 1
    assert done.tracked.said[0].startswith(f"nothing was measured: {line}")
    assert not list((done.folder / "tracked" / "runs").iterdir())


@pytest.mark.slow
def test_the_advice_to_a_compiled_loss_works(both):
    done = both("compiled_loss.py", "outside", options=(*EVERY, *GROUPS))

    done.assert_same_training()
    assert done.run.steps.tolist()[-1] == 5
    assert np.nanmax(done.run.residual) < 1e-5


@pytest.mark.slow
def test_a_training_shorter_than_the_counting_is_told_its_groups(both):
    done = both("by_hand.py", options=())

    done.assert_same_training()
    assert said(done.tracked, "nothing was measured; from its counts: --groups head=0-2,tail=3")
    assert not list((done.folder / "tracked" / "runs").iterdir())


def test_a_loss_without_cross_entropy_is_told_what_to_add(both):
    done = both("losses.py", "contrastive")

    done.assert_same_training()
    assert done.tracked.said == (
        "nothing was measured: no cross_entropy or nll_loss call led to a backward pass; add gradlens.observe(outputs, labels) "
        "before loss.backward() (outputs [batch, classes], labels [batch] of class ids), or use gradlens.Lens; or, if "
        "batch[1] holds the classes, track with --labels batch[1]",
    )


@pytest.mark.parametrize(
    ("loss", "cause"),
    [
        ("infonce", "a loss whose labels are positions in the batch is contrastive and tells no classes"),
        pytest.param("autoencoder", "the targets of the loss are what the model was given", marks=pytest.mark.slow),
        pytest.param(
            "distillation", "a loss whose targets vary continuously, as a teacher's outputs do", marks=pytest.mark.slow
        ),
    ],
)
def test_the_end_repeats_why_losses_name_no_classes(both, loss, cause):
    done = both("no_classes.py", loss)

    done.assert_same_training()
    first, last = done.tracked.said
    assert first.startswith(cause)
    assert last == f"nothing was measured: {first}; or, if batch[1] holds the classes, track with --labels batch[1]"


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ("raise", "failed", "RuntimeError: out of patience"),
        pytest.param("exit", "failed", "exit code 3", marks=pytest.mark.slow),
        pytest.param("wrong-labels", "failed", WRONG_LABELS, marks=pytest.mark.slow),
        pytest.param("interrupt", "interrupted", "KeyboardInterrupt", marks=pytest.mark.slow),
        ("kill", "killed", None),
    ],
)
def test_a_training_that_ends_badly_leaves_a_readable_run(both, how, state, reason):
    done = both("ends_badly.py", how, options=(*EVERY, "--groups", "head=0-1,tail=2-3"))

    done.assert_same_training()
    assert done.untracked.code != 0
    run = done.run
    assert run.steps.tolist()[:10] == list(range(10))
    assert run.status.state == state
    if reason is not None:
        assert run.status.reason == reason


def test_a_training_that_becomes_nan(both):
    done = both("becomes_nan.py", options=(*EVERY, *GROUPS, "--engine", "masked"))

    done.assert_same_training()
    assert done.untracked.code == 0
    assert done.untracked.out.count("nan") == 6
    run = done.run
    assert run.steps.tolist() == list(range(12))
    assert run.nonfinite().tolist() == [False] * 6 + [True] * 6
    assert np.isfinite(run.norm("all")).tolist() == [True] * 6 + [False] * 6
    assert run.residual[:6].max() < 1e-5
    text = " ".join(done.tracked.err.split())
    assert "6 of 12 measured steps have a gradient that is not finite; means leave them out" in text


@pytest.mark.parametrize("swallows", [False, True])
def test_strict_exits_with_an_error_where_training_cannot_be_measured(tmp_path, swallows):
    shutil.copy(SCRIPTS / "loops.py", tmp_path)
    program = "import runpy, sys\nsys.argv = ['loops.py', 'checkpoint-reentrant']\n"
    run = "runpy.run_path('loops.py', run_name='__main__')\n"
    program += f"try:\n    {run}except RuntimeError:\n    pass\n" if swallows else run
    (tmp_path / "train.py").write_text(program)

    assert tracked(tmp_path, "train.py", options=GROUPS).code == 0
    strict = tracked(tmp_path, "train.py", options=(*GROUPS, "--strict"))
    assert strict.code == 1
    assert "use_reentrant=False" in " ".join([*strict.said, strict.err])
