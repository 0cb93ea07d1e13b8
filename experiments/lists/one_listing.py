"""Runs ``gradlens ls`` with one build of gradlens: the one on PYTHONPATH. Prints its CPU seconds and its memory as JSON.

    python one_listing.py FOLDER

It is a small process of its own, since the memory of a process counts from that of the one that has started it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Lists, and prints."""
    folder = Path(sys.argv[1])
    command = [sys.executable, "-m", "gradlens", "ls", folder.name]
    done = subprocess.run(command, cwd=folder.parent, stdout=subprocess.PIPE, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = done.stdout.count(b" finished ")
    if rows != sum(1 for _ in folder.iterdir()):
        raise SystemExit(f"{rows} runs were listed")
    print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
