#!/usr/bin/env bash
# Run the C++ tests and the Python suite under the sanitizers, with one command, from a clean clone.
#
#   bash tests/sanitize.sh [address|thread|all|build] [arguments for pytest]
#
#   address   C++ tests and Python suite with the address and undefined-behaviour sanitizers
#   thread    C++ tests with the thread sanitizer
#   all       both (the default)
#   build     build everything for a later run in TINYPYR_SANITIZE_DIR, and run nothing
#
# Needs g++, Python with its headers, venv and pip, and a package index. Nothing is written into the source tree: the
# environment, the builds and a copy of the tests go to a temporary folder, or to TINYPYR_SANITIZE_DIR, which is kept so
# that the next run is faster. TINYPYR_SANITIZE_BASE_ONLY=ON builds the kernels for one instruction set instead of all:
# the same source in less than half the time.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
what=all
case "${1:-}" in address | thread | all | build) what=$1 && shift ;; esac
export CXX=${CXX:-g++} # GCC's runtimes are preloaded below

if [ -n "${TINYPYR_SANITIZE_DIR:-}" ]; then
  mkdir -p "$TINYPYR_SANITIZE_DIR" && work=$(cd "$TINYPYR_SANITIZE_DIR" && pwd)
else
  work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
fi
python=$work/venv/bin/python
cores=$(nproc)

echo "== environment"
[ -x "$python" ] || "${PYTHON:-python3}" -m venv "$work/venv"
# Install the requirements of pyproject.toml for builds, run time and tests; test.* lists its own tools once.
"$python" - "$root/pyproject.toml" >"$work/requirements.txt" <<'EOF'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)
wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
wanted += [*project["project"]["optional-dependencies"]["test"], "cmake>=3.26"]
print(*wanted, sep="\n")
EOF
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$work/requirements.txt"
export PATH="$work/venv/bin:$PATH"

build() { # folder, what to build, options
  local folder=$1 targets=$2
  shift 2
  # Without a release's optimisation outside the kernels: reports then name the right lines, and the build is faster.
  cmake -G Ninja -S "$root" -B "$folder" -DTINYPYR_WERROR=ON -DTINYPYR_CPP_TESTS=ON -DCMAKE_BUILD_TYPE=None \
    -DTINYPYR_BASE_ONLY="${TINYPYR_SANITIZE_BASE_ONLY:-OFF}" \
    -DCMAKE_CXX_FLAGS="-O1 -fno-omit-frame-pointer" "$@" >"$folder.log" 2>&1 &&
    cmake --build "$folder" --target $targets >>"$folder.log" 2>&1 || {
    cat "$folder.log"
    return 1
  }
}

# The library compiles for long, so both builds run in parallel. scikit-build-core sets SKBUILD: the extension is then
# linked with the same instrumented library as the C++ tests.
echo "== building ($what)"
builds=()
if [ "$what" != thread ]; then
  build "$work/address" "tinypyr_cpp_tests _core" -DTINYPYR_SANITIZE=ON -DSKBUILD=2 -DSKBUILD_PROJECT_NAME=tinypyr \
    -DPython_EXECUTABLE="$python" &
  builds+=($!)
fi
if [ "$what" != address ]; then
  build "$work/thread" tinypyr_cpp_tests -DTINYPYR_THREAD_SANITIZE=ON &
  builds+=($!)
fi
for process in "${builds[@]}"; do wait "$process"; done
[ "$what" != build ] || exit 0

export UBSAN_OPTIONS=print_stacktrace=1
if [ "$what" != address ]; then
  echo "== C++ tests, thread sanitizer"
  # Run only the tests of test_threads.cpp, every second case. Without address randomisation, because older sanitizer
  # runtimes do not support as much of it as newer kernels use.
  fixed=(setarch "$(uname -m)" --addr-no-randomize)
  "${fixed[@]}" true 2>/dev/null || fixed=()
  TSAN_OPTIONS=halt_on_error=1 "${fixed[@]}" "$work/thread/tinypyr_cpp_tests" 2 threads
fi
if [ "$what" != thread ]; then
  echo "== C++ tests, address and undefined-behaviour sanitizers, leaks"
  # Every second case: the sanitizers check each line that runs, not each combination of arguments.
  ASAN_OPTIONS=detect_leaks=1 "$work/address/tinypyr_cpp_tests" 2
  # One minute of cases from random bytes, in parallel with the Python suite (tests/fuzz.sh uses libFuzzer for them).
  "$work/address/tinypyr_cpp_tests" fuzz "${TINYPYR_FUZZ_SECONDS:-60}" >"$work/fuzz.log" 2>&1 &
  fuzzing=$!

  echo "== Python suite, address and undefined-behaviour sanitizers"
  rm -rf "$work/package" "$work/tree" "$work"/report.*
  mkdir -p "$work/package" "$work/tree"
  cp -r "$root/src/tinypyr" "$work/package/"
  find "$work/package" -name '*.so' -delete
  cp "$work"/address/_core*.so "$work/package/tinypyr/"
  for name in tests bench src cpp pyproject.toml CMakeLists.txt README.md; do
    [ ! -e "$root/$name" ] || cp -r "$root/$name" "$work/tree/"
  done
  # Left out: tests/packaging compiles copies without sanitizers and runs the benchmark; tests/cli runs the demo in other
  # processes; test_real_data.py spends its time in numpy, on dtypes and factors that the case grid covers; the tests of
  # stores spend theirs in TensorStore, which is built without sanitizers; float16 never enters the core.
  left_out=(-k "not float16")
  # The build may have a single instruction set, fewer than the processor.
  [ "${TINYPYR_SANITIZE_BASE_ONLY:-OFF}" = OFF ] ||
    left_out+=(--deselect tests/pooling/test_instruction_sets.py::test_the_processor_has_what_is_offered)
  for name in packaging cli store compat/test_pyramid_sampler.py compat/test_bioimage_py.py pooling/test_real_data.py; do
    left_out+=("--ignore=tests/$name")
  done
  cd "$work/tree"
  export TINYPYR_DATA=${TINYPYR_DATA:-$root/../shared/data}
  # Leaks are detected by the C++ tests only, because Python frees little at exit. tinybrain, with which some tests
  # compare, releases memory of new[] with free. Reports go to files, because pytest captures the output of
  # a test.
  address=detect_leaks=0:alloc_dealloc_mismatch=0:log_path=$work/report
  failed=0
  LD_PRELOAD="$("$CXX" -print-file-name=libasan.so) $("$CXX" -print-file-name=libstdc++.so)" \
    ASAN_OPTIONS=$address UBSAN_OPTIONS=print_stacktrace=1:log_path="$work/report" \
    PYTHONPATH="$work/package" "$python" -P -m pytest -n "$cores" "${left_out[@]}" "$@" || failed=$?
  for report in "$work"/report.*; do
    [ ! -e "$report" ] || { head -n 60 "$report" && failed=1; }
  done
  wait "$fuzzing" || failed=1
  cat "$work/fuzz.log"
  exit "$failed"
fi
