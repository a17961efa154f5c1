#!/usr/bin/env bash
# What `make test` runs, in this order: clean, export, lint, types, README, parameters cells, notebooks and tests. Expects .venv/bin first on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
fail() { printf '\ncheck: %s\n' "$*" >&2; exit 1; }

# One line "hash path" for each file that cleaning and exporting may touch; works in a tree with uncommitted work, too.
snapshot() {
  git ls-files -co --exclude-standard -- nbs biosig_nb | sort -u | while read -r f; do
    if [ -f "$f" ]; then echo "$(git hash-object "$f") $f"; fi
  done
}
unchanged() {   # unchanged COMMAND CURE: COMMAND leaves nbs/ and biosig_nb/ as they were
  local before; before=$(snapshot)
  "$1"
  diff <(echo "$before") <(snapshot) || fail "$1 changed the files above: $2"
}

untouched() {   # under CI the tree is a fresh checkout, and stays one
  if [ "${CI:-}" = true ] && [ -n "$(git status --porcelain)" ]; then git status --short | head; fail "$1"; fi
}

untouched "start from a committed tree"
say "nbdev_clean";  unchanged nbdev_clean "commit notebooks cleaned"
say "nbdev_export"; unchanged nbdev_export "edit the notebook, not the module, and commit what nbdev_export wrote"
say "ruff";         ruff check .; ruff format --check .
say "mypy";         mypy
say "README.md";    python .ci/readme.py --check
say "parameters";   python .ci/parameters.py --check
say "pytest";       python -m pytest -n "${JOBS:-2}" --dist worksteal --durations=20 -m "not slow" "$@"
untouched "the check left the files above in the tree"
