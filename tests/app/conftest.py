"""Runs of every kind in one folder, which the pages of the dashboard show."""

import pytest

from tests.dashboard_runs import make_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("runs"))
