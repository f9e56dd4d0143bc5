#!/usr/bin/env bash
# FSDD digits, one speaker left out at a time: how well are the digits of a voice heard that was never trained on?
#   bash benchmarks/digits_unseen_speaker.sh /path/to/fsdd [KEY=VALUE ...]
set -euo pipefail
root=$1
shift
for speaker in george jackson lucas nicolas theo yweweler; do
  data=data/fsdd-$speaker
  out=runs/digits-$speaker
  speechlstm prepare corpus=fsdd root="$root" out="$data" corpus.held_out_speaker="$speaker" > /dev/null
  speechlstm train experiment=digits data.train="$data/train.jsonl" data.dev="$data/dev.jsonl" out="$out" "$@" \
    > "$data.log" 2>&1 || { cat "$data.log"; exit 1; }
  printf '%-10s' "$speaker"
  speechlstm evaluate manifest="$data/test.jsonl" bundle="$out/bundle" | grep '^words'
done
