#!/usr/bin/env bash
# A process that has imported triton and called gc.freeze() ends with reports of leaks.
#
# gc.freeze() is what the documentation of gc advises before os.fork(): what is there already stays shared with the children. It
# frees and leaks nothing. But nanobind, in which triton's extension is written, counts at exit what Python has not taken back,
# and the frozen objects never are: it prints that instances, types and functions "leaked". Without gc.freeze(), or with
# gc.unfreeze() before the end, it prints nothing. Seen with triton 3.9.0 under CPython 3.11; no GPU is needed to see it.
# Output seen:
#   imported: 0 reports
#   imported and frozen: 3 reports
#     nanobind: leaked N instances!
#     nanobind: leaked N types!
#     nanobind: leaked N functions!
#   imported, frozen and thawed: 0 reports
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'triton==3.9.0'

# Prints how many kinds of leaks a program reports at its end, and which; their numbers do not matter.
shown() {
  local reports
  reports=$("$folder/env/bin/python" -c "$2" 2>&1 | grep -E '^nanobind: leaked' | sed -E 's/[0-9]+/N/' || true)
  echo "$1: $(printf '%s' "$reports" | grep -c . || true) reports"
  [ -z "$reports" ] || printf '%s\n' "$reports" | sed 's/^/  /'
}

found=$(
  shown "imported" "import triton"
  shown "imported and frozen" "import gc, triton; gc.freeze()"
  shown "imported, frozen and thawed" "import gc, triton; gc.freeze(); gc.unfreeze()"
)
echo "$found"
expected='imported: 0 reports
imported and frozen: 3 reports
  nanobind: leaked N instances!
  nanobind: leaked N types!
  nanobind: leaked N functions!
imported, frozen and thawed: 0 reports'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
