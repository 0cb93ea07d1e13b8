"""What the patched functions look at: the state of the step, except while code of ours runs; off is for good."""

from __future__ import annotations

from gradlens.tracking.watch.state import State, Watch


def test_states_go_from_nothing_to_everything():
    assert sorted(State) == [State.OFF, State.BUSY, State.IDLE, State.BACKWARD, State.ALL]


def test_a_turn_while_code_of_ours_runs_is_for_afterwards():
    watch = Watch()
    assert watch.state is watch.of_step is State.ALL
    watch.turn(State.IDLE)
    assert watch.state is watch.of_step is State.IDLE
    watch.state = State.BUSY
    watch.turn(State.BACKWARD)
    assert watch.state is State.BUSY
    assert watch.of_step is State.BACKWARD


def test_off_is_for_good():
    watch = Watch()
    watch.state = State.BUSY
    watch.turn(State.OFF)
    assert watch.state is watch.of_step is State.OFF
    watch.turn(State.ALL)
    assert watch.state is watch.of_step is State.OFF
