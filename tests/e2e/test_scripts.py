"""Training programs as their authors wrote them, as real processes: tracked and untracked they leave the same."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gradlens.runlog import Run
from tests.e2e.scripts.plain_loop import Net, make_data
from tests.e2e.styles import GROUPS
from tests.tracking.processes import Outcome, plain, tracked

SCRIPTS = Path(__file__).parent / "scripts"
EVERY = ("--every", "1")
# What torch itself says of 120 logits and 119 labels.
WRONG_LABELS = "ValueError: Expected input batch_size (120) to match target batch_size (119)."


@dataclass(frozen=True)
class Both:
    """The same program without and with tracking."""

    untracked: Outcome
    tracked: Outcome
    folder: Path

    @property
    def run(self) -> Run:
        """The run that tracking left."""
        return Run(next((self.folder / "tracked" / "runs").iterdir()))

    def assert_same_training(self) -> None:
        """The same weights to the last bit, output, errors and exit code."""
        assert self.tracked.out == self.untracked.out
        found, expected = (
            outcome.err.split("Whose gradient")[0].replace(str(self.folder / name), "")
            for name, outcome in (("tracked", self.tracked), ("plain", self.untracked))
        )
        assert found == expected
        assert self.tracked.code == self.untracked.code
        found, expected = (torch.load(self.folder / name / "model.pt") for name in ("tracked", "plain"))
        assert_equal(found, expected)


def assert_equal(found: Any, expected: Any) -> None:
    """Bit by bit, through any nesting."""
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_equal(a, b)
    else:
        assert found == expected


@pytest.fixture
def both(tmp_path):
    def start(script: str, *arguments: str, options: tuple[str, ...] = EVERY) -> Both:
        for name in ("plain", "tracked"):
            shutil.copytree(SCRIPTS, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        with ThreadPoolExecutor(2) as pool:
            a = pool.submit(plain, tmp_path / "plain", script, *arguments)
            b = pool.submit(tracked, tmp_path / "tracked", script, *arguments, options=options)
            return Both(a.result(), b.result(), tmp_path)

    return start


def said(outcome: Outcome, text: str) -> bool:
    return any(text in line for line in outcome.said)


def test_plain_loop(both):
    done = both("plain_loop.py", "--epochs", "2", options=(*EVERY, "--name", "first", "--layers", "--update"))

    done.assert_same_training()
    run = done.run
    # 120 samples in batches of 20, two epochs; the evaluations under no_grad are no steps.
    assert run.steps.tolist() == list(range(12))
    assert run.epoch.tolist() == [0] * 6 + [1] * 6
    assert run.groups.names == ("head", "tail")
    assert [list(ids) for ids in run.groups.classes] == [[0, 1], [2, 3]]
    assert run.meta.class_counts == (60, 40, 12, 8)
    assert run.counts.sum(0).tolist() == [200, 40]
    assert run.meta.seed == 0
    assert "body.0" in run.layers
    assert run.has_update
    assert np.nanmax(run.residual) < 1e-5
    assert run.status.state == "finished"
    line = done.tracked.said[0]
    for part in (
        "model Net (484 parameters)",
        "anchor [20, 4] at cross_entropy",
        "labels int64 [20]",
        "head 2 + tail 2 of 4",
    ):
        assert part in line
    for part in ("counts from TensorDataset.tensors[1]", "every step", "run runs/first"):
        assert part in line
    assert "Whose gradient did the model follow?" in done.tracked.err


def test_micro_batches_autocast_and_validation_without_no_grad(both):
    done = both("module_loss.py")

    done.assert_same_training()
    run = done.run
    # Two epochs of six micro-batches of 12; two make a step. The validation loss is never differentiated.
    assert len(run.steps) == 6 - (run.meta.engine != "masked")
    assert (run.counts.sum(1) == 24).all()
    assert "Shapes.targets" in run.groups.rule


def test_mixup_in_two_calls(both):
    done = both("mixup.py")

    done.assert_same_training()
    run = done.run
    assert run.steps.tolist() == list(range(8))
    # Every sample's mass is one, shared by its two labels.
    assert np.allclose(run.counts.sum(1), 30, atol=1e-4)
    assert np.nanmax(run.residual) < 1e-5
    np.testing.assert_allclose(run.gram()[0, :2, :2], first_gram_of_mixup(), rtol=1e-4)


def first_gram_of_mixup():
    """Brute force in float64: the first batch as the script draws it, one backward pass for the loss of each group."""
    torch.manual_seed(0)
    net = Net()
    x, y = next(iter(torch.utils.data.DataLoader(make_data(), batch_size=30, shuffle=True)))
    lam, index = np.random.RandomState(0).beta(1.0, 1.0), torch.randperm(30)
    x = (lam * x + (1 - lam) * x[index]).double()
    targets = lam * F.one_hot(y, 4) + (1 - lam) * F.one_hot(y[index], 4)  # [30, 4]
    kept = F.dropout(torch.ones(30, 32), 0.1).double()
    net = net.double()
    vectors = []
    for classes in ([0, 1], [2, 3]):
        net.zero_grad()
        # A group has the loss terms whose own label is in it.
        likelihoods = net.head(net.body[:3](x) * kept).log_softmax(1)[:, classes]
        (-(targets[:, classes] * likelihoods).sum(1)).mean().backward()
        vectors.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    return (torch.stack(vectors) @ torch.stack(vectors).T).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "forkserver", "fork"])
def test_labels_of_loader_workers_are_counted_in_the_first_pass(both, start):
    done = both("spawned_workers.py", start)

    done.assert_same_training()
    run = done.run
    assert "counting the labels of the first pass over the data" in done.tracked.said[0]
    assert "model Tagger" in done.tracked.said[0]
    assert said(done.tracked, "labels are counted: groups head")
    assert "counts from the labels of the first pass" in run.groups.rule
    # The log numbers steps and epochs as the training does: three batches made the first pass.
    assert run.steps[0] in (3, 4)
    assert run.steps[-1] == 8
    assert set(run.epoch) == {1, 2}
    assert sum(run.meta.class_counts) == 48


@pytest.mark.slow
def test_a_sampler_that_draws_without_end(both):
    done = both("data.py", "endless")

    done.assert_same_training()
    assert "counting the labels of a first pass or 100 backward passes" in done.tracked.said[0]
    run = done.run
    assert run.steps.tolist() == [100, 101, 102, 103]
    # By rank, 70/30: the samples come at random, 36 : 24 : 12 : 8.
    assert [list(ids) for ids in run.groups.classes] == [[0, 1, 2], [3]]
    assert np.nanmax(run.residual) < 1e-5


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
def test_separate_modules_with_an_optimizer_each(both):
    done = both("two_optimizers.py")

    done.assert_same_training()
    assert "model Linear + Sequential" in done.tracked.said[0]
    run = done.run
    assert run.meta.extra["optimizers"] == 2
    # The penalty on the classifier passes through no sample.
    assert (run.norm("rest") > 0).all()
    assert np.nanmax(run.residual) < 1e-5


@pytest.mark.slow
def test_without_optimizer_every_backward_pass_is_a_step(both):
    done = both("by_hand.py", options=("--every", "2", "--groups", "a=0-1,b=2-3"))

    done.assert_same_training()
    assert done.run.steps.tolist() == [0, 2, 4, 6, 8, 10]


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
        "before loss.backward() (outputs [batch, classes], labels [batch] of class ids), or use gradlens.Lens",
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
    assert last == f"nothing was measured: {first}"


@pytest.mark.slow
def test_a_loss_written_by_hand_is_measured(both):
    done = both("focal.py")

    done.assert_same_training()
    run = done.run
    assert run.steps.tolist() == list(range(12))
    assert np.nanmax(run.residual) < 1e-5


@pytest.mark.slow
def test_what_the_script_observes_is_measured(both):
    done = both("focal.py", "--observe")

    done.assert_same_training()
    run = done.run
    assert run.steps.tolist() == list(range(12))
    assert run.meta.extra["anchor"] == "gradlens.observe"
    assert np.nanmax(run.residual) < 1e-5


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
