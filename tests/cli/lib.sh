# Shared by the command line tests. $SEGFLEET = the program, $MPIRUN = mpirun or empty.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset nnUNet_raw nnUNet_preprocessed nnUNet_results
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1

fail() { echo "FAILED: $*" >&2; exit 1; }
ranks() { n=$1; shift; timeout 300 "$MPIRUN" --bind-to none --oversubscribe -np "$n" "$@"; }

# What must be equal between two runs: weights, choice, post-processing, predictions.
bits() {
  (cd "$1"
   for f in $(find results -name checkpoint_final.h5 | sort); do echo "$f $("$SEGFLEET" info --hash "$f")"; done
   find selection.json postprocessing.json predictions results -name '*.json' -o -name '*.nii.gz' -o -name '*.png' |
     sort | xargs sha256sum)
}
same_bits() {
  bits "$1" > "$tmp/bits.a"; bits "$2" > "$tmp/bits.b"
  [ "$(wc -l < "$tmp/bits.a")" -ge 6 ] || fail "$1 holds too few results"
  diff "$tmp/bits.a" "$tmp/bits.b" || fail "$1 and $2 differ"
}
