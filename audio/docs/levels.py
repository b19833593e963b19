#!/usr/bin/env python3
"""How well features tell the digits of a speaker that was left out, as recorded and 18 dB quieter:

    git clone https://github.com/Jakobovski/free-spoken-digit-dataset        # or any folder of DIGIT_SPEAKER_INDEX.wav
    pip install numpy scikit-learn
    ./levels.py free-spoken-digit-dataset/recordings                         # toeplite-train is on the PATH
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import wave

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

KINDS = {
    "logarithm": [],
    "PCEN": ["--pcen"],
    "PCEN, bias .1, power .2": ["--pcen", "--pcen-bias=0.1", "--pcen-power=0.2"],
    "AGC": ["--agc"],
    "AGC, integers": ["--agc", "--integers"],
}


def copy(files, folder, divisor):
    """Copies recordings into a folder a digit."""
    for file in files:
        with wave.open(str(file)) as recording:
            samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
        place = folder / file.name[0]
        place.mkdir(parents=True, exist_ok=True)
        with wave.open(str(place / file.name), "wb") as to:
            to.setparams((1, 2, 8000, 0, "NONE", ""))
            to.writeframes(np.round(samples / divisor).astype("<i2").tobytes())


def features(folder, options):
    """Features [clips, frames x bands] and labels, by toeplite-train."""
    out = folder.with_suffix(".safetensors")
    command = ["toeplite-train", "data", "features", folder, "--out", out, "--frames=40", "--json"]
    subprocess.run(command + options, check=True, stdout=subprocess.DEVNULL)
    data = out.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])

    def tensor(name, kind):
        begin, end = header[name]["data_offsets"]
        return np.frombuffer(data[start + begin:start + end], kind)

    labels = tensor("labels", "<i4")
    return tensor("features", "<f4").reshape(len(labels), -1), labels


def accuracy(speakers, loud, quiet, labels):
    """Means over the speakers left out, in percent."""
    means = []
    for speaker in np.unique(speakers):
        out = speakers == speaker
        classifier = make_pipeline(StandardScaler(), SVC(C=3)).fit(loud[~out], labels[~out])
        means.append([classifier.score(x[out], labels[out]) for x in (loud, quiet)])
    return 100 * np.mean(means, 0)


def main():
    files = sorted(pathlib.Path(sys.argv[1]).rglob("*.wav"), key=lambda file: file.name)
    # those of toeplite-train: by digit, then by name
    speakers = np.array([file.name.split("_")[1] for file in files])
    with tempfile.TemporaryDirectory() as folder:
        loud, quiet = pathlib.Path(folder) / "loud", pathlib.Path(folder) / "quiet"
        copy(files, loud, 1)
        copy(files, quiet, 8)
        for name, options in KINDS.items():
            (a, labels), (b, _) = features(loud, options), features(quiet, options)
            print(name, "%.1f %.1f" % tuple(accuracy(speakers, a, b, labels)), flush=True)
            if not options:
                a, b = (x - np.log(np.exp(x).sum(1) + 1e-6)[:, None] for x in (a, b))
                print(name, "scaled %.1f %.1f" % tuple(accuracy(speakers, a, b, labels)), flush=True)


main()
