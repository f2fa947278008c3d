#!/bin/bash
# Where training reads its data: memory shared by a node's ranks, a copy on a local disk, the mapped
# file; and hints for the parallel writer. The same weights from each, and a clear error for each
# thing that cannot be.
. "$(dirname "$0")/lib.sh"
export OMP_WAIT_POLICY=passive
"$SEGFLEET" phantom "$tmp" --cases 4 --extent 24 --seed 3 > /dev/null
data=$tmp/Dataset999_Phantom
options="--configs 2d,3d_fullres --num-folds 2 --epochs 1 --iterations 2 --batch-size 2 --no-mirroring --threads 1 --memory-gb 0.005"
sf() { # FOLDER OPTIONS...: a run on two ranks where there is MPI
  local work=$tmp/$1; shift
  if [ -n "$MPIRUN" ]; then ranks 2 "$SEGFLEET" run "$data" --work "$work" $options "$@"
  else "$SEGFLEET" run "$data" --work "$work" $options "$@"; fi
}
said() { grep -q -- "$1" "$tmp/log" || { cat "$tmp/log" >&2; fail "the log does not say: $1"; }; }

sf map --cache map > /dev/null 2> "$tmp/log"
said 'cache file=.*2d.h5 .*read_from=map'
if df --output=avail -B1 /dev/shm 2> /dev/null | tail -1 | awk '{exit !($1 > 64e6)}'; then
  sf shared --cache shared > /dev/null 2> "$tmp/log"
  said 'cache file=.*3d_fullres.h5 .*read_from=shared_memory'
  same_bits "$tmp/map" "$tmp/shared"
fi

# staged: TMPDIR by its word, nothing is left there
mkdir "$tmp/local"
TMPDIR=$tmp/local sf staged --stage tmpdir > /dev/null 2> "$tmp/log"
said "stage file=.*2d.h5 copy=$tmp/local/segfleet-.* copied"
said 'read_from=staged_map'
same_bits "$tmp/map" "$tmp/staged"
[ -z "$(ls -A "$tmp/local")" ] || fail "staged copies are left: $(ls "$tmp/local")"

# a sound copy of a stopped run is kept, a damaged one is copied again
train() { "$SEGFLEET" train --work "$tmp/staged" --config 2d --fold 0 --val --stage "$tmp/local" --threads 1 > /dev/null 2> "$tmp/log"; }
train
copy=$(sed -n 's/.* copy=\([^ ]*\) .*/\1/p' "$tmp/log")
cp "$tmp/staged/preprocessed/2d.h5" "$copy"
train
said "copy=$copy .* kept"
cp "$tmp/staged/preprocessed/2d.h5" "$copy"
printf 'x' | dd of="$copy" bs=1 seek=5000 conv=notrunc 2> /dev/null
train
said "copy=$copy .* copied"

refused() { # WORDS OPTIONS...
  local words=$1; shift
  if "$SEGFLEET" train --work "$tmp/staged" --config 2d --fold 0 --val --threads 1 "$@" > /dev/null 2> "$tmp/log"; then
    fail "accepted: $*"
  fi
  said "$words"
}
refused "must be auto, shared or map, not 'much'" --cache much
(unset TMPDIR; refused 'TMPDIR is not set' --stage tmpdir)
touch "$tmp/file"
refused "$tmp/file" --stage "$tmp/file"

# no room: on the disk, in memory (where this user may mount)
if unshare -m true 2> /dev/null; then
  mkdir "$tmp/small"
  small() { # FOLDER OPTIONS...
    unshare -m sh -c 'mount -t tmpfs -o size=64k none "$1" || exit 1; shift; exec "$@"' sh "$1" \
      "$SEGFLEET" train --work "$tmp/staged" --config 2d --fold 0 --val --threads 1 "$2" "$3" > /dev/null 2> "$tmp/log" || return 0
    fail "no room, but accepted: $2 $3"
  }
  small "$tmp/small" --stage "$tmp/small"
  said "$tmp/small on .* has 0.000 GiB of room, the copy of .*2d.h5 needs"
  small /dev/shm --cache shared
  said 'may be taken on every node (half of what is free'
fi

# hints
printf '# stripes\nstriping_factor = 4\ncb_nodes=1\n' > "$tmp/hints"
if [ -n "$MPIRUN" ]; then
  sf with_hints --mpi-io-hints "$tmp/hints" > /dev/null 2> "$tmp/log"
  said 'io_hints striping_factor=4:[a-z0-9]* cb_nodes=1:[a-z0-9]*'
same_bits "$tmp/map" "$tmp/with_hints"
fi
hint_error() { # WORDS FILE
  if "$SEGFLEET" run "$data" --work "$tmp/none" --mpi-io-hints "$2" > /dev/null 2> "$tmp/log"; then
    fail "accepted: $2"
  fi
  said "$1"
}
hint_error "$tmp/nowhere" "$tmp/nowhere"
printf 'cb_nodes=1\nstripes\n' > "$tmp/bad"
hint_error "bad, line 2: 'stripes' is not KEY=VALUE" "$tmp/bad"
printf '{"cb_nodes": [1]}' > "$tmp/bad"
hint_error "hint 'cb_nodes' must be a text or a whole number" "$tmp/bad"
[ ! -e "$tmp/none" ] || fail "a work folder was made before the hints were read"
echo passed
