#!/usr/bin/env bash
# Run lint, type checks and tests on the working tree, with the tools of the active environment (pip install -e
# ".[dev]"). Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

bash tests/lint.sh
python -m pytest -n auto --dist worksteal "$@"
