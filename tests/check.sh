#!/usr/bin/env bash
# Lint, types and tests of the working tree, with the tools of the active environment (pip install -e ".[dev]").
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

bash tests/lint.sh
python -m pytest -n auto --dist worksteal "$@"
