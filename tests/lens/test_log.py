"""What a lens writes: steps, epochs, phases, marks, evaluations, probes, how it ended, and how it goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import gradlens
from gradlens import ClassGroups, Lens, Run, marks
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import RunExistsError, RunMeta, RunWriter
from gradlens.tracking.attach.tracked_lens import TrackedLens
from tests.engines.zoo import CLASSES, GROUPS
from tests.lens.training import batches, loss_of, mlp

pytestmark = pytest.mark.usefixtures("one_thread")


def train(lens: Lens, model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 1) -> None:
    for x, y in batches(steps, seed=seed):
        lens.backward(loss_of(model, x, y), y)
        optimizer.step()
        optimizer.zero_grad()


def test_the_log_holds_what_the_lens_measured(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    measured: list[Measurement] = []
    with Lens(
        model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=2, layers=True, class_counts=np.arange(CLASSES),
        meta={"seed": 3, "method": "ce", "extra": {"note": "kept"}},
    ) as lens:  # fmt: skip
        assert lens.run_path == tmp_path / "run"
        for epoch in lens.epochs(range(2, 5)):
            train(lens, model, optimizer, 3, seed=epoch)
            assert lens.last is not None
            measured.append(lens.last)
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 2, 4, 6, 8]
    assert run.epoch.tolist() == [2, 2, 3, 4, 4]
    assert run.meta.seed == 3
    assert run.meta.method == "ce"
    assert run.meta.class_counts == tuple(range(CLASSES))
    assert run.meta.cadence == "every 2 steps"
    assert run.meta.engine == "split"
    assert run.meta.engine_reason == lens.engine_reason
    assert run.meta.extra == {"note": "kept", "steps": 9}
    assert run.meta.timings["training_seconds"] > 0
    assert run.meta.timings["measuring_seconds"] > 0
    assert run.groups == GROUPS
    assert run.status.state == "finished"
    assert list(run.layers) == ["0", "2"]
    for m, row in zip(measured, (1, 2, 4), strict=True):
        np.testing.assert_array_equal(run.gram()[row], m.gram)
        np.testing.assert_array_equal(run.counts[row], m.counts)
        np.testing.assert_array_equal(run.loss[row], m.loss)
        assert run.residual[row] == m.residual
        assert run.total_loss[row] == m.total_loss
        assert run.cosine("tail")[row] == pytest.approx(m.cosine("tail"))
        assert run.norm("tail", per="mean")[row] == pytest.approx(m.norm("tail", per="mean"))


def test_events_land_at_the_step_they_were_made_in(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    gradlens.phase("nobody listens")
    gradlens.mark("nobody listens")
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1) as lens:
        assert marks.present()
        gradlens.phase("I")
        train(lens, model, optimizer, 3)
        lens.epoch = 7
        lens.phase("II")
        gradlens.mark("new rate")
        train(lens, model, optimizer, 1)
        lens.evaluation(split="test", head=71.2, tail=12.0)
        lens.event("checkpoint", path="somewhere")
    assert not marks.present()
    gradlens.phase("nobody listens any more")
    run = Run(tmp_path / "run")
    assert [(p.name, p.start, p.end) for p in run.phases] == [("I", 0, 3), ("II", 3, None)]
    assert [(m.step, m.text) for m in run.marks] == [(3, "new rate")]
    (evaluation,) = run.evaluations
    assert evaluation["step"] == 4
    assert evaluation["epoch"] == 7
    assert evaluation["split"] == "test"
    assert (evaluation["head"], evaluation["tail"]) == (71.2, 12.0)
    (event,) = [e for e in run.events if e["kind"] == "checkpoint"]
    assert (event["step"], event["path"]) == (4, "somewhere")


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ZeroDivisionError("by hand"), "failed", "ZeroDivisionError: by hand"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(3), "failed", "SystemExit: 3"),
    ],
)
def test_an_exception_ends_the_run_with_its_reason(
    error: BaseException, state: str, reason: str, tmp_path: Path
) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def interrupted() -> None:
        with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1) as lens:
            train(lens, model, optimizer, 2)
            raise error

    with pytest.raises(type(error)):
        interrupted()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 1]
    assert (run.status.state, run.status.reason) == (state, reason)


def test_a_resumed_run_continues_its_steps(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for start in (0, 5):
        with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=2, resume=True) as lens:
            assert lens.step == start
            assert lens.armed == (start % 2 == 0)
            train(lens, model, optimizer, 5)
    assert Run(tmp_path / "run").steps.tolist() == [0, 2, 4, 6, 8]
    with pytest.raises(RunExistsError):
        Lens(model, GROUPS, out=tmp_path / "run")


def test_a_killed_run_is_resumed_after_its_last_measurement(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=2) as lens:
        train(lens, model, optimizer, 5)
        lens._recorder.writer.update_meta = lambda **_: None  # a killed process cannot say how far it came
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=2, resume=True) as lens:
        assert lens.step == 5
        lens.step = 3  # the checkpoint is older than the kill
        train(lens, model, optimizer, 2)
    assert Run(tmp_path / "run").steps.tolist() == [0, 2, 4]


def test_a_step_set_from_outside_counts_on(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1) as lens:
        lens.step = 100
        train(lens, model, optimizer, 2)
    assert Run(tmp_path / "run").steps.tolist() == [100, 101]


def test_skip_leaves_a_step_out_whole(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with TrackedLens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1) as lens:
        (x, y), *_ = batches(1)
        lens.backward(loss_of(model, x, y), y)
        lens.skip()  # after one micro-batch of two
        lens.backward(loss_of(model, x, y), y)
        optimizer.step()
        optimizer.zero_grad()
        train(lens, model, optimizer, 1)
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [1]
    assert run.counts.sum() == 12
    assert run.residual[0] <= 1e-5


def test_a_backward_without_samples_is_rest(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    (x, y), *_ = batches(1)
    with TrackedLens(model, GROUPS, optimizer=optimizer, every=1, engine="split", strict=True) as lens:
        penalty = sum(p.square().sum() for p in model.parameters())
        lens.rest_backward(penalty, backward=penalty.backward)
        lens.backward(loss_of(model, x, y), y)
        gradient = [p.grad.double().clone() for p in model.parameters()]
        weights = [2 * p.detach().double() for p in model.parameters()]
        optimizer.step()
    m = lens.last
    assert m is not None
    assert lens.engine_name == "split"
    assert m.norm("rest") == pytest.approx(sum(float(w.square().sum()) for w in weights) ** 0.5, rel=1e-5)
    assert m.norm() == pytest.approx(sum(float(g.square().sum()) for g in gradient) ** 0.5, rel=1e-5)
    assert m.residual <= 1e-5


def test_a_probe_of_the_lens_is_logged_and_disturbs_no_step(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1, engine="func", strict=True) as lens:
        train(lens, model, optimizer, 2)
        assert lens.armed
        found = lens.probe(batches(3, seed=5), ClassGroups.per_class(CLASSES), label="all classes")
        train(lens, model, optimizer, 1)
        (x, y), *_ = batches(1)
        logits = model(x)
        lens.probe(batches(1))  # between forward and backward: this step cannot be measured any more
        lens.backward(torch.nn.functional.cross_entropy(logits, y), y)
        optimizer.step()
        train(lens, model, optimizer, 1)
    assert lens.engine_name == "func"
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 1, 2, 4]
    first, second = run.probes
    assert (first.step, first.label, second.step, second.label) == (2, "all classes", 3, None)
    assert first.groups == ClassGroups.per_class(CLASSES)
    assert second.groups == GROUPS
    np.testing.assert_array_equal(first.gram, found.gram)
    assert first.counts.tolist() == [6.0] * CLASSES


def test_distortion_worked_by_hand(tmp_path: Path) -> None:
    """Two groups of 3 and 1 classes; shares are chosen, the distortion follows."""
    groups = ClassGroups({"head": [0, 1, 2], "tail": [3]}, 4)

    def with_shares(step: int, head: float, tail: float) -> Measurement:
        # Orthogonal contributions of squared norms a, b: their shares are a / (a + b) and b / (a + b).
        gram = np.diag([head, tail, 0.0])
        if tail == 0:
            gram[1, :] = gram[:, 1] = np.nan  # no sample of the tail in this batch
        return Measurement(
            step, float(step), None, ("head", "tail", "rest"), gram, None, np.ones(2), np.ones(2), np.ones(2), 0.0, 1.0, 0.0
        )  # fmt: skip

    with RunWriter(tmp_path / "run", RunMeta.here(groups.to_json())) as writer:
        writer.append_many([with_shares(0, 1, 0), with_shares(10, 1, 1), with_shares(20, 0.25, 0.75)])
    run = Run(tmp_path / "run")
    # Average shares (1 + 0.5 + 0.25) / 3 = 7/12 and (0 + 0.5 + 0.75) / 3 = 5/12, against 3/4 and 1/4.
    # Three steps of variance 0.1458 leave a standard error of 0.2205, so 1/6 is 0.756 of it, and what noise adds is taken off:
    # 2 exp(-2 0.756^2) - 0.42 exp(-0.756^2 / 2) = 0.323 standard errors.
    assert gradlens.distortion(run) == pytest.approx(1 / 6 - 0.323 * 0.2205, abs=1e-3)
    # Only steps 10 and up: 0.375 and 0.625 against 0.75 and 0.25; the error is 0.125, a third of 0.375.
    assert gradlens.distortion(run, start=1) == pytest.approx(0.375 + 0.42 * 0.125 * np.exp(-4.5), abs=1e-4)
    assert gradlens.distortion(run, start=5, stop=20) == pytest.approx(0.25)
    assert np.isnan(gradlens.distortion(run, start=21))


def test_a_lens_without_a_folder_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Lens(model, GROUPS, optimizer=optimizer) as lens:
        assert lens.run_path is None
        lens.phase("I")
        train(lens, model, optimizer, 2)
        lens.probe(batches(1))
    assert lens.last is not None
    assert list(tmp_path.iterdir()) == []
