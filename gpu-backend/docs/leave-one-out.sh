#!/bin/bash
# Trains on all speakers but one, tests that one, for each of the five: leave-one-out.sh FSDD NEGATIVES VOICES OUT [key=value ...]
# FSDD: the data set's .tar.gz. NEGATIVES: a folder whose folders hold speech without the words, one for each voice.
# VOICES: what voices.sh made, or - for none. OUT: data, runs and models go there. The rest are settings of the configuration.
# toeplite-train and toeplite are on the PATH. Prints the accuracy of the network as trained, and of its int8 models as devices run them:
# with and without an FPU.
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
    # the last: which one is best is not for the speakers that it learnt from to say
    run=$(ls -d "$out/run-$speaker"/checkpoint-* | sort -V | tail -n 1)
    toeplite-train eval "$run" --data "$data/test" --json >"$out/$speaker.json"
    for contract in f32 fixed; do
        model=$out/$speaker-$contract
        toeplite convert "$run" --contract $contract --tolerance 0.02 -o "$model.toep" --json >"$model-convert.json"
        toeplite eval "$model.toep" --clips "$data/test" --front-end "$run" --json >"$model.json"
    done
    # of the words alone; the other classes count as mistakes
    python3 - "$out/$speaker" <<'PY'
import json, sys
read = lambda end: json.loads(open(sys.argv[1] + end).read())
words = [read(".json")["words"], *(read(end)["lengths"][0]["words"] for end in ("-f32.json", "-fixed.json"))]
forms = "as trained", "int8", "int8 in integers"
print(sys.argv[1], *("%s %.1f %%" % (form, 100 * w["accuracy"]) for form, w in zip(forms, words)), flush=True)
PY
done
