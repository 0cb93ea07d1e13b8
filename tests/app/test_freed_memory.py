"""Large arrays are given back to the system, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

# Frees one mapped array, after which glibc would keep those of its size, then many of them; prints what is held (MB).
PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from gradlens_dashboard.freed_memory import give_back_large_arrays

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024

if sys.argv[1] == "given back":
    give_back_large_arrays()
del (first := [np.ones(2**21)])[:]
before = held()
arrays = [np.ones(2**20) for _ in range(20)]
wall = np.ones(2**16)  # lies above them on a heap, which so cannot shrink
del arrays
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_of_large_arrays_is_given_back() -> None:
    def held(how: str) -> float:
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert held("given back") < 16
    # Else there is nothing to be done. Where the system put something in the heap's way, glibc maps all arrays by itself.
    assert max(held("kept") for _ in range(5)) > 100
