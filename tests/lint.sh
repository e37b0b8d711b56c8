#!/usr/bin/env bash
# Run ruff, clang-format and mypy, all strict.
set -euo pipefail
cd "$(dirname "$0")/.."

ruff check .
ruff format --check .
git ls-files 'cpp/*.hpp' 'cpp/*.cpp' 'cpp/*.inl' 'tests/cpp/*' | xargs clang-format --dry-run --Werror
mypy
