"""Made-up runs that several files of tests draw."""

import pytest

from tests.figures.pair import make_pair
from tests.made_runs import make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "short", steps=5, every=3)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "long", steps=200)
