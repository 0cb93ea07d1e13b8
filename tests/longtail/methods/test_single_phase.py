"""Methods with one phase."""

from gradlens.longtail.methods import CE, DUAL_PHASE, PLAIN, PLAIN_2T
from gradlens.longtail.tasks.digits import digits_task


def test_parts_that_train_and_frozen_ones_whose_statistics_move():
    task = digits_task()
    (whole,) = CE.on(task).phases
    (end,) = CE.on(task, {"trained_parts": "top, classifier"}).phases
    (some,) = CE.on(task, {"trained_parts": "classifier", "moving_parts": "top"}).phases
    found = [(phase.trainable, phase.moving) for phase in (whole, end, some)]
    assert found == [(("",), ()), (("top", "classifier"), ("",)), (("classifier",), ("top",))]


def test_equal_compute_doubles_the_epochs():
    task = digits_task()
    assert PLAIN_2T.on(task, {"epochs": 7}).epochs == 14
    assert PLAIN.on(task, {"epochs": 7}).epochs == 7
    assert DUAL_PHASE.on(task, {"epochs": 7}).epochs == 14
    assert DUAL_PHASE.on(task, {"epochs": 7, "epochs_2": 2}).epochs == 9
