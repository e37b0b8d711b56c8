#!/usr/bin/env bash
# ruff, clang-format and mypy, all strict.
set -euo pipefail
cd "$(dirname "$0")/.."

ruff check .
ruff format --check .
clang-format --dry-run --Werror cpp/tinypyr/*.hpp cpp/tinypyr/*.cpp cpp/tinypyr/*.inl tests/cpp/*.cpp
mypy
