#!/usr/bin/env bash
# Fuzz the C++ core with libFuzzer: every instruction set against the reference of tests/cpp, in memory between guard
# pages, under the address and undefined-behaviour sanitizers. Needs clang.
#
#   bash tests/fuzz.sh [seconds] [further arguments of libFuzzer]        (default: 60)
#
# TINYPYR_FUZZ_DIR keeps the program and its corpus for the next run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:-60}
shift || true
work=${TINYPYR_FUZZ_DIR:-$(mktemp -d)}
mkdir -p "$work/corpus"
sanitize=address,undefined
if [ ! -x "$work/fuzz" ] || [ -n "$(find "$root/cpp" "$root/tests/cpp" -newer "$work/fuzz" -print -quit)" ]; then
  flags=(-std=c++17 -O1 -g1 -fno-omit-frame-pointer -I"$root/cpp" -fsanitize="fuzzer-no-link,$sanitize"
    -fno-sanitize-recover=all -Wno-pass-failed)
  rm -rf "$work/objects" && mkdir "$work/objects"
  # The library and the shared files of the tests. libFuzzer supplies main().
  find "$root/cpp" "$root/tests/cpp" -name '*.cpp' ! -name main.cpp ! -name 'test_*' -print0 |
    (cd "$work/objects" && xargs -0 -n 1 -P "$(nproc)" clang++ "${flags[@]}" -c)
  clang++ -fsanitize="fuzzer,$sanitize" "$work"/objects/*.o -pthread -o "$work/fuzz"
fi
cd "$work"
exec ./fuzz -max_total_time="$seconds" -max_len=512 -timeout=30 -print_final_stats=1 "$@" corpus
