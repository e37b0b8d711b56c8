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
  rm -f "$work"/*.o
  compile() { clang++ "${flags[@]}" -fsanitize="$1,$sanitize" -c "$2" -o "$work/$3-$(basename "$2" .cpp).o"; }
  jobs=()
  for source in "$root"/tests/cpp/*.cpp; do compile fuzzer "$source" test & jobs+=($!); done
  for source in "$root"/cpp/tinypyr/*.cpp; do compile fuzzer-no-link "$source" library & jobs+=($!); done
  for job in "${jobs[@]}"; do wait "$job"; done
  clang++ -fsanitize="fuzzer,$sanitize" "$work"/*.o -pthread -o "$work/fuzz"
fi
cd "$work"
exec ./fuzz -max_total_time="$seconds" -max_len=512 -timeout=30 -print_final_stats=1 "$@" corpus
