#!/usr/bin/env bash
# Run tests on processors that this machine does not have, under qemu's user emulation.
#
#   bash tests/emulate.sh
#
#   aarch64   C++ tests, NEON
#   Nehalem   C++ tests and a part of the Python suite, x86-64 before AVX: the dispatcher must choose "scalar"
#   Haswell   C++ tests, AVX2 without AVX-512
#
# Needs an x86-64 machine with Debian or Ubuntu (apt-get install qemu-user-static g++ g++-aarch64-linux-gnu), Python
# with its headers, venv and pip, and a package index. Nothing is written into the source tree: everything happens in a
# temporary folder, which is removed at the end.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
for program in qemu-aarch64-static qemu-x86_64-static g++ aarch64-linux-gnu-g++; do
  command -v "$program" >/dev/null || missing="${missing:-} $program"
done
if [ -n "${missing:-}" ]; then
  echo "not installed:$missing; apt-get install qemu-user-static g++ g++-aarch64-linux-gnu brings them" >&2
  exit 2
fi
if [ "$(uname -m)" != x86_64 ]; then
  echo "this machine is not x86-64, but what the older x86-64 processors run is built with its own g++ and Python" >&2
  exit 2
fi
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
python=$work/venv/bin/python
"${PYTHON:-python3}" -m venv "$work/venv"
"$python" -m pip install --quiet --disable-pip-version-check "cython>=3.1" "cmake>=3.26" ninja numpy fastremap pytest \
  hypothesis
export PATH="$work/venv/bin:$PATH" # the cmake of a distribution may be too old for the stable ABI
passed=0 failed=0

check() { # name, command
  local name=$1 log=$work/check.log start=$SECONDS
  shift
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    echo "passed  $name: $(tail -n 1 "$log") ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "FAILED  $name ($((SECONDS - start)) s)"
    tail -n 60 "$log"
  fi
}

# List the usable instruction sets, best first: a test proves nothing if other kernels ran than expected.
cat >"$work/names.cpp" <<'END'
#include <cstdio>
#include <cstring>

#include "tinypyr/tinypyr.hpp"

int main(int argc, char** argv) {
  int count = 0;
  const char* const* names = tinypyr::instruction_sets(&count);
  bool same = count == argc - 1;
  for (int i = 0; i < count; ++i) {
    same = same && std::strcmp(names[i], argv[i + 1]) == 0;
    std::printf("%s ", names[i]);
  }
  std::printf("\n");
  return same ? 0 : 1;
}
END

# Build like a release. Static, so that the emulator needs no libraries of the other machine.
build() { # folder, compiler, targets, options
  local folder=$1 compiler=$2 targets=$3
  shift 3
  cmake -G Ninja -S "$root" -B "$folder" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release \
    -DTINYPYR_CPP_TESTS=ON -DCMAKE_EXE_LINKER_FLAGS=-static "$@" &&
    cmake --build "$folder" --target $targets &&
    "$compiler" -std=c++17 -static -I "$root/cpp" "$work/names.cpp" "$folder/cpp/tinypyr/libtinypyr.a" \
      -o "$folder/names" &&
    echo built
}

cpp_tests() { # name, folder, the instruction sets that must be on offer, emulator
  local name=$1 folder=$2 sets=$3
  shift 3
  [ -x "$folder/names" ] || return 0 # its build failed, which is counted there
  check "$name, instruction sets" "$@" "$folder/names" $sets
  check "$name, C++ tests" "$@" "$folder/tinypyr_cpp_tests"
}

echo "== aarch64"
check "aarch64, build" build "$work/aarch64" aarch64-linux-gnu-g++ tinypyr_cpp_tests -DCMAKE_SYSTEM_NAME=Linux \
  -DCMAKE_SYSTEM_PROCESSOR=aarch64
cpp_tests aarch64 "$work/aarch64" neon qemu-aarch64-static

echo "== x86-64"
# scikit-build-core sets SKBUILD: the extension is then linked with the same library as the C++ tests.
check "x86-64, build" build "$work/x86" g++ "tinypyr_cpp_tests _core" -DSKBUILD=2 -DSKBUILD_PROJECT_NAME=tinypyr \
  -DPython_EXECUTABLE="$python"
cpp_tests Nehalem "$work/x86" scalar qemu-x86_64-static -cpu Nehalem
# qemu emulates AVX2 from version 7.2 on; earlier versions print a warning and ignore the request.
if qemu-x86_64-static -cpu Haswell /bin/true 2>&1 | grep -q "doesn't support.*avx2"; then
  echo "skipped Haswell: this qemu has no AVX2"
else
  cpp_tests Haswell "$work/x86" "avx2 scalar" qemu-x86_64-static -cpu Haswell
fi

echo "== Python on x86-64"
mkdir -p "$work/package" "$work/tree"
cp -r "$root/src/tinypyr" "$work/package/"
find "$work/package" -name '*.so' -delete
cp "$work"/x86/_core*.so "$work/package/tinypyr/" || true # not there if its build failed; then the checks fail too
cp -r "$root/tests" "$root/pyproject.toml" "$work/tree/"
cd "$work/tree"
export PYTHONPATH=$work/package
python_nehalem=(qemu-x86_64-static -cpu Nehalem "$python" -P)
check "Nehalem, Python" "${python_nehalem[@]}" -c \
  'import numpy, tinypyr; assert tinypyr.instruction_sets() == ["scalar"], tinypyr.instruction_sets(); print("numpy", numpy.__version__)'
# Use one process, because processes started by pytest-xdist would run on the real processor. The deselected test reads
# the kernel's description of the processor, which is that of the real one.
check "Nehalem, Python suite" "${python_nehalem[@]}" -m pytest -q -p no:cacheprovider \
  --deselect tests/pooling/test_instruction_sets.py::test_the_processor_has_what_is_offered \
  tests/pooling/test_instruction_sets.py tests/pooling/test_pooling.py

echo "$passed checks passed, $failed failed"
[ "$failed" = 0 ]
