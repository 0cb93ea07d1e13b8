"""The best epoch is chosen on the validation split, and the test set is read in it without a part in the choice."""

import json

import pytest
import torch

from gradlens.longtail.methods import CE, DUAL_PHASE
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.best_epoch import best_row
from gradlens.longtail.training.checkpoint import FILE, CheckpointError
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watcher import Unwatched
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.longtail.same_state import assert_same


@pytest.fixture(scope="module")
def held():
    return digits_task(validation=5)


class Oracle(Unwatched):
    """Evaluates all splits after every epoch."""

    def __init__(self, task):
        self.task, self.seen = task, []

    def end_epoch(self, row, learner):
        learner.model.eval()
        self.seen.append({split: correct(learner.model, images) for split, images in self.task.evaluations.items()})


def correct(model, images):
    batch, labels = next(images.batches(torch.arange(len(images.labels)), len(images.labels), augmented=False))
    with torch.no_grad():
        return 100 * float((model(batch).argmax(1) == labels).double().mean())


@pytest.mark.parametrize("method", [CE, DUAL_PHASE], ids=lambda method: method.name)
def test_the_best_epoch_is_that_of_the_validation_split(held, method):
    oracle = Oracle(held)
    fitted = fit(method.on(held, {"epochs": 6}), held, watcher=oracle)
    assert fitted.split == "validation"
    best = max(range(len(oracle.seen)), key=lambda t: oracle.seen[t]["validation"])
    assert fitted.best["epoch"] == best + 1
    assert fitted.best["overall"] == pytest.approx(oracle.seen[best]["validation"])
    assert fitted.best["other_splits"]["test"]["overall"] == pytest.approx(oracle.seen[best]["test"])
    assert fitted.final["test"]["overall"] == pytest.approx(oracle.seen[-1]["test"])
    highest = -1.0
    for row, seen in zip(fitted.history, oracle.seen, strict=True):
        assert ("other_splits" in row) == (seen["validation"] > highest)
        highest = max(highest, seen["validation"])


def test_of_several_best_epochs_the_first_is_taken():
    rows = [{"epoch": 1, "overall": 5.0}, {"epoch": 2}, {"epoch": 3, "overall": 7.0}, {"epoch": 4, "overall": 7.0}]
    assert best_row(rows)["epoch"] == 3


def test_validation_changes_neither_the_training_nor_its_identity_where_the_subset_stays(held):
    plain = digits_task()
    # class 0 has 5 images that the subset of 124 leaves out
    assert held.held_out.lost == 0
    assert torch.equal(held.train.labels, plain.train.labels)
    one, two = (fit(CE.on(task, {"epochs": 2}), task).learner.model.state_dict() for task in (plain, held))
    assert_same(one, two)
    assert "validation" not in plain.identity()
    assert held.identity() == {**plain.identity(), "validation": held.held_out.validation.digest}


def test_the_run_and_the_result_say_what_was_chosen_where(tmp_path, held):
    trained = run_training(
        CE.on(held, {"epochs": 4}), held, tmp_path / "run", watching=Watching(every=5, probe_every=0)
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["validation"] == {"images_per_class": 5, "images": 50, "images_that_training_lost": 0}
    assert result["best"]["split"] == "validation"
    assert set(result["best"]["other_splits"]) == {"test"}
    assert set(result["last"]) == {"validation", "test"}
    assert result["last"]["test"]["balanced"] == pytest.approx(sum(result["per_class"]["test"]) / 10)
    assert result["classes"]["training_images"] == held.counts.tolist()
    assert result["classes"]["names"] == list(held.train.class_names)
    run = Run(tmp_path / "run")
    assert run.meta.extra["validation"] == result["validation"]
    assert [event["split"] for event in run.evaluations] == ["validation"] * 4
    last = {key: value for key, value in run.evaluations[-1].items() if key not in ("step", "time", "epoch", "split")}
    assert last == pytest.approx(trained.fitted.final["validation"])
    epochs = [event for event in run.events if event["kind"] == "epoch"]
    rows = trained.fitted.history
    assert [event.get("other_splits") for event in epochs] == [row.get("other_splits") for row in rows]


def test_a_checkpoint_of_a_training_without_validation_is_refused(tmp_path, held):
    plain = digits_task()
    fit(CE.on(plain, {"epochs": 1}), plain, folder=tmp_path)
    assert (tmp_path / FILE).exists()
    with pytest.raises(CheckpointError, match="validation: absent there"):
        fit(CE.on(held, {"epochs": 1}), held, folder=tmp_path, resume=True)
