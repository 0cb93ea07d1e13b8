#!/usr/bin/env bash
# A setting of torch that pytest's monkeypatch has changed does not exist after the test.
#
# One expects undo to put the old value back, as mock.patch.object does. But monkeypatch takes a setting that is not in the module's
# __dict__ for an inherited one and deletes it, so that the inherited value shows again; torch keeps its settings elsewhere and
# takes a deletion for the first half of what mock.patch does: it hides the setting until somebody sets it. The test itself passes.
# Every later test of the process that reads the setting fails with an AttributeError, here the first torch.compile; which tests
# fail depends on their order. Seen with pytest 9.2.0 and torch 2.15.0.
# Output seen:
#   before: 8
#   inside mock.patch.object: 3
#   after mock.patch.object: 8
#   inside monkeypatch: 3
#   after monkeypatch: no such setting
#   torch.compile: torch._dynamo.config.recompile_limit does not exist
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'pytest==9.2.0' 'torch==2.15.0' 'numpy==2.4.0'
cat > "$folder/show.py" <<'PYTHON'
from unittest import mock

import pytest
import torch
from torch._dynamo import config


def shown(when: str) -> None:
    print(f"{when}: {getattr(config, 'recompile_limit', 'no such setting')}")


shown("before")
with mock.patch.object(config, "recompile_limit", 3):
    shown("inside mock.patch.object")
shown("after mock.patch.object")
with pytest.MonkeyPatch.context() as monkeypatch:
    monkeypatch.setattr(config, "recompile_limit", 3)
    shown("inside monkeypatch")
shown("after monkeypatch")
try:
    torch.compile(torch.sin, backend="eager")(torch.ones(1))
except AttributeError as error:
    print(f"torch.compile: {error}")
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py")
echo "$found"
expected='before: 8
inside mock.patch.object: 3
after mock.patch.object: 8
inside monkeypatch: 3
after monkeypatch: no such setting
torch.compile: torch._dynamo.config.recompile_limit does not exist'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
