"""How the dashboard finds its port and its folder."""

import errno
import socket

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

import plotly

from gradlens_dashboard import server
from gradlens_dashboard.server import ADDRESS, DashboardError, free_port, plotly_address


def test_a_port_in_use_is_passed_over():
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = free_port(port)
        assert port < found <= port + server.PORTS_TRIED
    assert free_port(port) == port  # the one that has ended counts as free


def test_no_free_port_is_an_error_with_its_fix(monkeypatch):
    monkeypatch.setattr(server, "PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DashboardError, match=f"no free port from {port} on; choose another one with --port"):
            free_port(port)
    with pytest.raises(DashboardError, match="no free port from 65536 on"):
        free_port(65536)


def test_a_port_that_this_user_may_not_have_is_said_at_once(monkeypatch):
    class Forbidden(socket.socket):
        def bind(self, address):
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(DashboardError, match=r"cannot listen on 127\.0\.0\.1:80: Permission denied; choose another"):
        free_port(80)


def test_a_folder_that_is_not_there_is_an_error_before_anything_starts(tmp_path):
    with pytest.raises(DashboardError, match="gone is no folder; give the folder that holds the runs"):
        server.start(tmp_path / "gone")


def test_the_address_of_plotly_changes_with_its_version(monkeypatch):
    assert plotly_address().endswith(f"?{plotly.__version__}")
    before = plotly_address()
    monkeypatch.setattr(plotly, "__version__", "99.0")
    assert plotly_address() != before
