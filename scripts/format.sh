#!/bin/bash
# Formats every C source and header with clang-format 14 (Debian 12).
# usage: scripts/format.sh           rewrite files
#        scripts/format.sh --check   only name the files that would change; exit code 1 if there are any
set -euo pipefail
cd "$(dirname "$0")/.."
mode=-i
[ "${1:-}" = --check ] && mode="--dry-run -Werror --ferror-limit=1"
tool=clang-format
command -v clang-format-14 > /dev/null && tool=clang-format-14

bad=0
while IFS= read -r -d '' file; do
    # shellcheck disable=SC2086 # the mode is a list of words
    "$tool" $mode "$file" || bad=$((bad + 1))
done < <(find src kernels mpi tests include benchmarks examples -name '*.[ch]' -print0 2> /dev/null | sort -z)
[ "$bad" = 0 ] || { echo "$bad files are not formatted: run scripts/format.sh"; exit 1; }
