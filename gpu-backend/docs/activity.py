#!/usr/bin/env python3
"""Seglearn's recordings of a smartwatch, as the integers that a motion sensor gives: activity.py seglearn-1.2.5.tar.gz FOLDER

Writes FOLDER/EXERCISE/SUBJECT_SIDE.csv with columns ax, ay, az (1/4096 g: a range of 8 g) and gx, gy, gz (1/16.4 degree a second: a range of
2000), 50 rows a second. Needs NumPy. The package's file is a pickle, which can run any code while it is read: take the package from PyPI.
"""
import io
import math
import pathlib
import sys
import tarfile

import numpy as np

COUNTS_PER_G = 4096
COUNTS_PER_RADIAN = 16.4 * 180 / math.pi


def main(package, folder):
    with tarfile.open(package) as archive:
        (name,) = [n for n in archive.getnames() if n.endswith("seglearn/data/watch_dataset.npy")]
        data = np.load(io.BytesIO(archive.extractfile(name).read()), allow_pickle=True).item()
    assert data["X_labels"] == ["ax", "ay", "az", "wx", "wy", "wz"]
    scale = np.repeat([COUNTS_PER_G, COUNTS_PER_RADIAN], 3)
    for samples, label, subject, side in zip(data["X"], data["y"], data["subject"], data["side"]):
        counts = np.clip(np.rint(samples * scale), -32768, 32767).astype(int)
        place = pathlib.Path(folder, data["y_labels"][label], f"{subject}_{'right' if side else 'left'}.csv")
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            sys.exit(f"{place} is there already: give another folder, or remove it")
        np.savetxt(place, counts, "%d", ",", header="ax,ay,az,gx,gy,gz", comments="")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
