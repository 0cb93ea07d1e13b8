"""Methods with one phase."""

from gradlens.longtail.methods import DUAL_PHASE, PLAIN, PLAIN_2T
from gradlens.longtail.tasks.digits import digits_task


def test_equal_compute_doubles_the_epochs():
    task = digits_task()
    assert PLAIN_2T.on(task, {"epochs": 7}).epochs == 14
    assert PLAIN.on(task, {"epochs": 7}).epochs == 7
    assert DUAL_PHASE.on(task, {"epochs": 7}).epochs == 14
    assert DUAL_PHASE.on(task, {"epochs": 7, "epochs_2": 2}).epochs == 9
