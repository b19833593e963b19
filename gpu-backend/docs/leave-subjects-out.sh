#!/bin/sh
# Trains without each of the subjects and tests on that one: leave-subjects-out.sh RECORDINGS OUT [train.steps=N ...]
set -eu
recordings=$1 out=$2
shift 2
sets=''
for set in "$@"; do sets="$sets --set $set"; done
config=$(dirname "$0")/../configs/activity.toml
for subject in $(ls "$recordings"/*/*.csv | sed 's|.*/||; s|_.*||' | sort -nu); do
    data=$out/$subject
    toeplite-train data windows "$recordings" --out "$data/train.safetensors" --leave-out "$subject" \
        --rate 50 --average 2 --frames 100 --hop 25 --copies 7 --turn 25 --speed 0.2 >&2
    toeplite-train data windows "$recordings" --out "$data/test.safetensors" --only "$subject" \
        --like "$data/train.safetensors" --hop 25 >&2
    # shellcheck disable=SC2086 # words
    toeplite-train train --config "$config" --out "$data/run" --set data.train="$(realpath "$data/train.safetensors")" $sets >&2
    last=$(ls -d "$data"/run/checkpoint-* | sort -t- -k2 -n | tail -n 1)
    printf '%s: ' "$subject"
    toeplite-train eval "$last" --data "$data/test.safetensors" --length 100 --json | sed 's/.*"accuracy":\([0-9.]*\),"length.*/\1/'
done
