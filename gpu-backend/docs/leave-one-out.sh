#!/bin/bash
# Trains on all speakers but one, tests that one, for each of the five: leave-one-out.sh FSDD NEGATIVES VOICES OUT [key=value ...]
# FSDD: the data set's .tar.gz. NEGATIVES: a folder whose folders hold speech without the words, one for each voice.
# VOICES: what voices.sh made, or - for none. OUT: data and runs go there. The rest are settings of the configuration.
set -euo pipefail
source=$1 negatives=$2 voices=$3 out=$4
shift 4
config=$(dirname "$0")/../configs/keywords.toml
options=() settings=()
for folder in "$negatives"/*/; do options+=(--negatives "${folder%/}"); done
[ "$voices" = - ] || options+=(--voices "$voices")
for setting in "$@"; do settings+=(--set "$setting"); done
for speaker in ${SPEAKERS:-george jackson nicolas theo yweweler}; do
    data=$out/data-$speaker
    [ -d "$data" ] || toeplite-train data make keywords --source "$source" "${options[@]}" --leave-out $speaker --out "$data" --json >/dev/null
    toeplite-train train --config "$config" --set data.train="$data/train" --set data.valid="$data/valid" \
        "${settings[@]}" --out "$out/run-$speaker" --json >/dev/null
    toeplite-train eval "$out/run-$speaker/best" --data "$data/test" --json >"$out/$speaker.json"
    # of the words alone; the other classes count as mistakes
    python3 - "$out/$speaker.json" $speaker <<'PY'
import json, sys
result = json.loads(open(sys.argv[1]).readline())
words = [c for c in result["classes"] if c["name"] not in ("silence", "unknown")]
print(sys.argv[2], f'{100 * sum(c["correct"] for c in words) / sum(c["clips"] for c in words):.1f} %', flush=True)
PY
done
