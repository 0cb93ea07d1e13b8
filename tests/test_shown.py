"""How objects show themselves in notebooks."""

from __future__ import annotations

import subprocess
import sys


def test_importing_gradlens_imports_no_plotly():
    code = "import gradlens, sys; gradlens.Run, gradlens.Measurement, gradlens.Lens; assert 'plotly' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
