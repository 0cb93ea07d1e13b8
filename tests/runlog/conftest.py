"""A run of several batches, and a disk that is soon full."""

import shutil
import subprocess

import pytest

from gradlens.runlog import RunWriter
from tests.runlog.made import LAYERS, batch_ends, measurement, meta


@pytest.fixture
def four_batches(tmp_path):
    """A run of four batches: steps 0-63, 64-127, 128-191, 192-199."""
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    writer.append_many([measurement(step, layers=True) for step in range(200)])
    writer.close()
    assert list(batch_ends(tmp_path / "run").values()) == [64, 128, 192, 200]
    return tmp_path / "run"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
