#!/usr/bin/env bash
# The C++ tests and the Python suite under the sanitizers; one command, from a clean clone.
#
#   bash tests/sanitize.sh [address|thread|all|build] [arguments for pytest]
#
#   address   C++ tests and Python suite with the address and undefined-behaviour sanitizers
#   thread    C++ tests with the thread sanitizer
#   all       both (the default)
#   build     nothing is run: what both need is built in TINYPYR_SANITIZE_DIR, for a run after this one
#
# Needs g++, Python with its headers, venv and pip, and a package index. Nothing is written into the source tree: the
# environment, the builds and a copy of the tests go to a temporary folder, or to the one that TINYPYR_SANITIZE_DIR
# names, which is kept, so that the next run is faster. With TINYPYR_SANITIZE_BASE_ONLY=ON the kernels are built for one
# instruction set instead of all: the same source in less than half the time.
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
# what pyproject.toml asks for at build time, at run time and in tests; test.* names its own tools once
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
  # Without the optimisation of a release outside the kernels: reports name the right lines, and it builds faster.
  cmake -G Ninja -S "$root" -B "$folder" -DTINYPYR_WERROR=ON -DTINYPYR_CPP_TESTS=ON -DCMAKE_BUILD_TYPE=None \
    -DTINYPYR_BASE_ONLY="${TINYPYR_SANITIZE_BASE_ONLY:-OFF}" \
    -DCMAKE_CXX_FLAGS="-O1 -fno-omit-frame-pointer" "$@" >"$folder.log" 2>&1 &&
    cmake --build "$folder" --target $targets >>"$folder.log" 2>&1 || {
    cat "$folder.log"
    return 1
  }
}

# The library is one long compilation, so both builds go side by side. SKBUILD is what scikit-build-core sets: the
# extension is then linked with the same instrumented library as the C++ tests.
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
  # only the tests of test_threads.cpp, every second case of them;
  # without address randomisation, which older runtimes do not expect to be as large as newer kernels make it
  fixed=(setarch "$(uname -m)" --addr-no-randomize)
  "${fixed[@]}" true 2>/dev/null || fixed=()
  TSAN_OPTIONS=halt_on_error=1 "${fixed[@]}" "$work/thread/tinypyr_cpp_tests" 2 threads
fi
if [ "$what" != thread ]; then
  echo "== C++ tests, address and undefined-behaviour sanitizers, leaks"
  # every second case: the sanitizers look at each line that runs, not at each combination of arguments
  ASAN_OPTIONS=detect_leaks=1 "$work/address/tinypyr_cpp_tests" 2
  # a minute of cases out of random bytes, beside the Python suite (tests/fuzz.sh looks for them with libFuzzer)
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
  # one instruction set alone is less than the processor has
  [ "${TINYPYR_SANITIZE_BASE_ONLY:-OFF}" = OFF ] ||
    left_out+=(--deselect tests/pooling/test_instruction_sets.py::test_the_processor_has_what_is_offered)
  for name in packaging cli store compat/test_pyramid_sampler.py compat/test_bioimage_py.py pooling/test_real_data.py; do
    left_out+=("--ignore=tests/$name")
  done
  cd "$work/tree"
  export TINYPYR_DATA=${TINYPYR_DATA:-$root/../shared/data}
  # Python itself frees little at its end, so leaks are the business of the C++ tests; and tinybrain, which some tests
  # compare with, frees what it has from new[]. Reports go to files, because pytest holds back what a test prints.
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
