#!/usr/bin/env bash
# A keyed st.select_slider falls to its first option when the words of its options change.
#
# One expects the chosen option to stay: its value is the same, only format_func writes it in other words (a unit, a language),
# and the documentation of `key` says that a key "preserves its state across reruns even when other parameters change". In the
# rerun that changes the words the script still gets 100 while the slider already shows the first option; in the next rerun,
# whatever caused it, the script gets 1, and on_change is called although nobody moved the slider. Seen with Streamlit 1.67.0.
# AppTest does not show it; this drives a real browser (Debian's chromium, or what CHROMIUM names).
# Output seen:
#   chosen: script has 100, slider shows 100 steps
#   other words: script has 100, slider shows 1 epochs
#   next rerun: script has 1, slider shows 1 epochs
#   calls of on_change: 2
set -euo pipefail
chromium=${CHROMIUM:-$(command -v chromium)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'streamlit==1.67.0' 'playwright==1.65.2'
cat > "$folder/app.py" <<'PYTHON'
import streamlit as st

state = st.session_state
state.reruns = state.get("reruns", 0) + 1


def changed():
    state.calls = state.get("calls", 0) + 1


unit = "epochs" if st.toggle("epochs") else "steps"
width = st.select_slider(
    "width", [1, 100], key="width", format_func=lambda n: f"{n} {unit}", on_change=changed
)
st.button("again")
st.write(f"rerun {state.reruns}: {width}, {state.get('calls', 0)} calls")
PYTHON
cat > "$folder/drive.py" <<'PYTHON'
import re
import socket
import subprocess
import sys
import time

from playwright.sync_api import sync_playwright

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
options = {"server.port": port, "server.address": "127.0.0.1", "server.headless": "true", "browser.gatherUsageStats": "false"}
command = [sys.executable, "-m", "streamlit", "run", "app.py", *(f"--{name}={value}" for name, value in options.items())]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(120):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.5)
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=sys.argv[1]).new_page()
        page.goto(f"http://127.0.0.1:{port}")
        slider, line = page.get_by_role("slider"), page.get_by_text(re.compile(r"rerun \d+: "))

        def after(number: int) -> tuple[str, str]:
            """Waits for a rerun; returns what the script has, and its calls."""
            page.get_by_text(f"rerun {number}: ").wait_for(timeout=60_000)
            page.wait_for_timeout(1000)
            return re.findall(r"\d+", line.inner_text())[1:]

        def said(when: str, number: int) -> str:
            width, calls = after(number)
            print(f"{when}: script has {width}, slider shows {slider.get_attribute('aria-valuetext')}")
            return calls

        after(1)
        slider.focus()
        slider.press("ArrowRight")
        said("chosen", 2)
        page.get_by_text("epochs", exact=True).click()
        said("other words", 3)
        page.get_by_role("button", name="again").click()
        print(f"calls of on_change: {said('next rerun', 4)}")
finally:
    server.terminate()
    server.wait()
PYTHON
found=$(cd "$folder" && env/bin/python drive.py "$chromium")
echo "$found"
expected='chosen: script has 100, slider shows 100 steps
other words: script has 100, slider shows 1 epochs
next rerun: script has 1, slider shows 1 epochs
calls of on_change: 2'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
