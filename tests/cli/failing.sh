#!/bin/bash
# One rank of a training fails, or is killed, while the others are in an exchange with it: of halos, of gradients, of new
# weights, in slabs and with whole samples. The job ends at once, one line says which rank, host, stage and what to do, and the
# next call goes on to the same bits.
. "$(dirname "$0")/lib.sh"
[ -n "$MPIRUN" ] || exit 77
"$SEGFLEET" phantom "$tmp" --cases 3 --extent 96 --2d --seed 3
data=$tmp/Dataset999_Phantom
host=$(uname -n)
"$SEGFLEET" plan "$data" -o "$tmp/plans.json" > /dev/null 2>&1
for batch in 1 2; do # on two ranks: a slab each, a sample each
  work=$tmp/batch_$batch
  fold=$work/results/2d/fold_0
  options="--config 2d --fold 0 --epochs 1 --iterations 3 --threads 1 --no-mirroring"
  "$SEGFLEET" preprocess "$data" --plans "$tmp/plans.json" --work "$work" --configs 2d > /dev/null 2> "$tmp/log" || fail "$(cat "$tmp/log")"
  "$SEGFLEET" train --work "$work" $options --batch-size $batch > /dev/null 2> "$tmp/log" || fail "$(cat "$tmp/log")"
  want=$("$SEGFLEET" info --hash "$fold/checkpoint_final.h5")
  points="gradients weights"
  [ $batch = 2 ] || points="forward backward gradients weights"
  for point in $points; do
    for how in error kill; do
      rm -r "$work/results"
      rc=0
      begin=$(date +%s)
      SF_FAIL="1 $point $how" timeout 60 "$MPIRUN" --bind-to none --oversubscribe -np 2 "$FAILING" train --work "$work" $options \
        --batch-size $batch --checkpoint-seconds 0.001 > /dev/null 2> "$tmp/err" || rc=$?
      took=$(($(date +%s) - begin))
      what="batch $batch, $point, $how"
      if [ $how = kill ]; then
        [ $rc = 137 ] || { cat "$tmp/err"; fail "$what: status $rc, not 137"; }
        [ "$(grep -c "rank 1 .*on node $host exited on signal 9" "$tmp/err")" = 1 ] || { cat "$tmp/err"; fail "$what: no line names the rank"; }
      else
        case $point in
          forward) stage="forward pass" ;;
          weights) stage="optimiser step" ;;
          *) stage="backward pass" ;;
        esac
        [ $rc = 5 ] || { cat "$tmp/err"; fail "$what: status $rc, not 5"; }
        grep '^segfleet: ' "$tmp/err" > "$tmp/line" || true
        [ "$(wc -l < "$tmp/line")" = 1 ] || { cat "$tmp/err"; fail "$what: not one line"; }
        grep -q "^segfleet: rank 1 on $host: out of memory: $stage of $fold at epoch 0, iteration 1: no memory, as wished; run the same command again" \
          "$tmp/line" || fail "$what: $(cat "$tmp/line")"
      fi
      echo "$what: ended after $took s"
      [ $how = kill ] || continue
      ranks 2 "$SEGFLEET" train --work "$work" $options --batch-size $batch > /dev/null 2> "$tmp/log" || { cat "$tmp/log"; fail "$what: the next call"; }
      grep -q 'resume .*epoch=0 iteration=1' "$tmp/log" || fail "$what: the next call did not go on"
      [ "$("$SEGFLEET" info --hash "$fold/checkpoint_final.h5")" = "$want" ] || fail "$what: other weights"
    done
  done
done
echo passed
