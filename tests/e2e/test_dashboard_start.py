"""The dashboard's server as people start it: from the command line, beside others, without what it needs."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.e2e.dashboard_server import healthy, start

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")


def test_starts_beside_another_program_serves_plotly_and_stops_on_interrupt(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        server = start(tmp_path, "--port", str(taken))
        try:
            first, second, third = (server.stdout.readline() for _ in range(3))
            assert first.startswith(f"Port {taken} is in use; taking ")
            port = int(second.rpartition(":")[2])
            assert port > taken
            assert second.startswith(f"Dashboard of {tmp_path}: http://127.0.0.1:")
            assert "Ctrl-C" in third
            assert healthy(port)
            for page in ("", "run"):  # plotly comes with the page, before a figure asks for it
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}") as shell:
                    source = re.search(r'<script async src="(/gradlens/plotly[^"]+)"', shell.read().decode())[1]
            asked = urllib.request.Request(f"http://127.0.0.1:{port}{source}", headers={"Accept-Encoding": "gzip"})
            with urllib.request.urlopen(asked) as script:
                assert b"plotly.js" in script.read(500)  # as it is: to compress it takes longer than to send it
                assert "immutable" in script.headers["Cache-Control"]
            with socket.socket() as outside:
                outside.settimeout(2)
                assert outside.connect_ex(("127.0.0.2", port)) != 0  # on this one address only
            server.send_signal(signal.SIGINT)
            rest, _ = server.communicate(timeout=30)
        finally:
            server.kill()
    assert "Traceback" not in rest
    assert rest.strip().endswith("Dashboard stopped.")
    assert server.returncode == 0


def test_a_folder_that_is_not_there():
    server = start("/nowhere/at/all")
    output, _ = server.communicate(timeout=60)
    assert server.returncode == 2
    assert "/nowhere/at/all is no folder" in output
    assert "Traceback" not in output


def test_without_streamlit_the_extra_is_named(tmp_path):
    program = (
        "import sys; sys.modules['streamlit'] = None; sys.argv = ['gradlens', 'dashboard', sys.argv[1], '--no-browser'];"
        "from gradlens.commands.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "streamlit, which is not installed" in done.stderr
    assert "pip install -e '.[app]'" in done.stderr
    assert "Traceback" not in done.stderr
