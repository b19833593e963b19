#!/bin/bash
# Five-fold accuracy on MLPerf Tiny's 1,000 keyword clips, as trained and as int8 on a device: mlperf-tiny.sh CLIPS OUT [key=value ...]
# CLIPS: kws01, the folder or its .tar.gz, see mlperf-tiny.md. OUT: data, runs and models go there; runs that are there are not
# trained again. The rest are settings of the configuration. toeplite and toeplite-train are on the PATH.
set -euo pipefail
clips=$1 out=$2
shift 2
here=$(dirname "$0") settings=()
for setting in "$@"; do settings+=(--set "$setting"); done
[ -d "$out/data/fold-5" ] || "$here/mlperf-tiny.py" "$clips" "$out/data"
for fold in 1 2 3 4 5; do
    data=$out/data/fold-$fold run=$out/run-$fold model=$out/fold-$fold
    [ -d "$run" ] || toeplite-train train --config "$here/../configs/mlperf-tiny.toml" --set data.train="$data/train.safetensors" \
        --set data.valid="$data/test.safetensors" "${settings[@]}" --out "$run" --json >/dev/null
    last=$(find "$run" -maxdepth 1 -name 'checkpoint-*' | sort -V | tail -1)
    toeplite convert "$last" -o "$model.toep" --target m4 --clips "$data/train.safetensors" --json >"$model-convert.json"
    toeplite eval "$last" --clips "$data/test.safetensors" --json >"$model-trained.json"
    toeplite eval "$model.toep" --clips "$data/test.safetensors" --json >"$model-int8.json"
    python3 - "$model" <<'PY'
import json, sys
read = lambda kind: json.load(open(f"{sys.argv[1]}-{kind}.json"))
right = [100 * read(kind)["lengths"][0]["accuracy"] for kind in ("trained", "int8")]
made = read("convert")
print(f"{sys.argv[1]}: as trained {right[0]:.1f} %, int8 {right[1]:.1f} %, {made['blob_bytes']} bytes, {made['memory_bytes']} of memory", flush=True)
PY
done
# Folds differ by a few clips: the share is of all clips together.
python3 - "$out" <<'PY'
import json, sys
for kind in ("trained", "int8"):
    rows = [json.load(open(f"{sys.argv[1]}/fold-{fold}-{kind}.json"))["lengths"][0] for fold in range(1, 6)]
    clips = sum(row["clips"] for row in rows)
    print(f"{kind}: {100 * sum(row['accuracy'] * row['clips'] for row in rows) / clips:.1f} % of {clips} clips")
PY
