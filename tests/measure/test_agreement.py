"""A single process: a step is measured if it is due, and nobody else has to agree."""

from __future__ import annotations

from gradlens.measure.agreement import OwnSteps, SingleProcessAgreement
from gradlens.measure.schedule.cadence import Every
from gradlens.measure.schedule.schedule import MeasurementSchedule


def attached(schedule: MeasurementSchedule) -> SingleProcessAgreement:
    solo = SingleProcessAgreement()
    nothing = lambda *_: None  # noqa: E731
    solo.attach(OwnSteps(schedule, lambda: True, nothing, nothing, nothing, nothing)).end()
    return solo


def test_steps_are_measured_as_the_schedule_says():
    schedule = MeasurementSchedule(Every(3))
    solo = attached(schedule)
    found = []
    for step in range(7):
        due = solo.due()
        found.append(due)
        if due or not schedule.rested():
            schedule.end(measured=due)
        assert schedule.step == step + 1
    assert found == [True, False, False, True, False, False, True]


def test_steps_that_are_not_due_end_by_themselves():
    schedule = MeasurementSchedule(Every(4))
    solo = attached(schedule)
    assert solo.due()
    schedule.end(measured=True)
    assert not solo.due()
    # Two more need not be asked about; the next one is the last before step 4.
    assert [schedule.rested() for _ in range(3)] == [True, True, False]


def test_nobody_stands_in_the_way():
    solo = attached(MeasurementSchedule(Every(1)))
    ran = []
    with solo.around(lambda: ran.append(1)) as backward:
        backward()
    assert ran == [1]
    assert solo.open
    assert solo.writes
    assert solo.processes.alone
