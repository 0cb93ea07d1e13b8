"""The digits as a task, which most tests of this room train on."""

import pytest

from gradlens.longtail.tasks.digits import digits_task


@pytest.fixture(scope="module")
def task():
    return digits_task()
