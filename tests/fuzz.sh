#!/usr/bin/env bash
# Fuzzing the C++ core with libFuzzer: every instruction set against the reference of tests/cpp, in memory between guard
# pages, under the address and undefined-behaviour sanitizers. Needs clang.
#
#   bash tests/fuzz.sh [seconds] [further arguments of libFuzzer]        (default: 60)
#
# TINYPYR_FUZZ_DIR keeps the program and what it has learnt (the corpus) for the next run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:-60}
shift || true
work=${TINYPYR_FUZZ_DIR:-$(mktemp -d)}
mkdir -p "$work/corpus"
sanitize=address,undefined
if [ ! -x "$work/fuzz" ] || [ -n "$(find "$root/cpp" "$root/tests/cpp" -newer "$work/fuzz" -print -quit)" ]; then
  flags=(-std=c++17 -O1 -g1 -fno-omit-frame-pointer -DTINYPYR_FUZZ -I"$root/cpp" -fno-sanitize-recover=all)
  clang++ "${flags[@]}" -fsanitize="fuzzer,$sanitize" -c "$root/tests/cpp/test_core.cpp" -o "$work/test.o" &
  clang++ "${flags[@]}" -fsanitize="fuzzer-no-link,$sanitize" -c "$root/cpp/tinypyr/dispatch.cpp" -o "$work/core.o"
  clang++ "${flags[@]}" -fsanitize="fuzzer-no-link,$sanitize" -c "$root/cpp/tinypyr/sampling.cpp" -o "$work/sampling.o"
  wait $!
  clang++ -fsanitize="fuzzer,$sanitize" "$work/test.o" "$work/core.o" "$work/sampling.o" -pthread -o "$work/fuzz"
fi
cd "$work"
exec ./fuzz -max_total_time="$seconds" -max_len=512 -timeout=30 -print_final_stats=1 "$@" corpus
