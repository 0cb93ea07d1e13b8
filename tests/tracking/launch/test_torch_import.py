"""Something is called inside of the script's own ``import torch``. A stand-in for torch, in real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from gradlens.tracking.launch.torch_import import after_torch_import
after_torch_import(lambda: print("called", sys.modules["torch"].ready))
print("before")
{body}
print("after", type(torch.__loader__).__module__, type(torch.__spec__.loader).__module__, len(finders()))
"""
FINDERS = "finders = lambda: [f for f in sys.meta_path if type(f).__module__.startswith('gradlens')]\n"


def run(folder: Path, body: str) -> list[str]:
    for name in ("torch", "later/torch"):
        (folder / name).mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text("print('torch runs')\nready = True\n")
    (folder / "later" / "torch" / "__init__.py").write_text("print('torch runs')\nready = 'later'\n")
    (folder / "program.py").write_text(FINDERS + PROGRAM.format(body=body))
    found = subprocess.run([sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


def test_it_is_called_when_torch_has_run_and_leaves_no_trace(tmp_path):
    own = "_frozen_importlib_external"
    assert run(tmp_path, "import torch; import torch") == [
        "before",
        "torch runs",
        "called True",
        f"after {own} {own} 0",
    ]


def test_a_script_may_try_again_with_another_path(tmp_path):
    body = """
sys.path[:] = [path for path in sys.path if path != sys.path[0] and "site-packages" not in path]
try:
    import torch
except ImportError:
    print("none", len(finders()))
sys.path.insert(0, "later")
import torch
"""
    found = run(tmp_path, body)
    assert found[:4] == ["before", "none 1", "torch runs", "called later"]
    assert found[4].endswith(" 0")


def test_where_torch_is_there_already_it_is_called_at_once(monkeypatch):
    from gradlens.tracking.launch.torch_import import after_torch_import

    monkeypatch.setitem(sys.modules, "torch", sys)
    called, before = [], list(sys.meta_path)
    after_torch_import(lambda: called.append(1))
    assert called == [1]
    assert sys.meta_path == before
