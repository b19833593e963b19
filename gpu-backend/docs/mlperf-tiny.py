#!/usr/bin/env python3
"""Five folds of the 1,000 keyword clips that MLPerf Tiny measures accuracy with, as files that toeplite-train reads:

    ./mlperf-tiny.py kws01.tar.gz OUT [--copies 30] [--seed 1] [--inner]

CLIPS is the folder or the .tar.gz of energyrunner's kws01: tst_NUMBER_CLASS_LABEL.bin, 49 frames of 10 int8 MFCC each.
OUT/fold-1 to OUT/fold-5 get train.safetensors, with changed copies of each clip, and test.safetensors; --inner keeps a
fifth of the training clips of fold 1 to choose settings by: OUT/inner, which has none of the clips that fold 1 tests.
The same clips and seed give the same bytes. Python's standard library is enough.
"""

import argparse
import array
import json
import pathlib
import random
import re
import struct
import tarfile

FRAMES, NUMBERS, FOLDS = 49, 10, 5
NAME = re.compile(r"tst_(\d+)_([A-Za-z]+)_(\d+)\.bin")


def clips_of(path):
    """(number, class, label, values) of each clip, by number."""
    path = pathlib.Path(path)
    if path.is_dir():
        files = ((file.name, file.read_bytes()) for file in path.rglob("*.bin"))
    else:
        archive = tarfile.open(path)
        members = (member for member in archive if member.isfile())
        files = ((pathlib.PurePath(m.name).name, archive.extractfile(m).read()) for m in members)
    clips = []
    for name, data in files:
        match = NAME.fullmatch(name)
        if not match:
            continue
        if len(data) != FRAMES * NUMBERS:
            raise SystemExit(f"{name}: {len(data)} bytes, {FRAMES * NUMBERS} are expected")
        number, word, label = match.groups()
        clips.append((int(number), word.lower(), int(label), array.array("b", data)))
    if not clips:
        raise SystemExit(f"{path} holds no tst_NUMBER_CLASS_LABEL.bin")
    return sorted(clips)


def folded(clips):
    """The clips with the fold that tests each: every fifth of a class."""
    seen = {}
    for clip in clips:
        count = seen.get(clip[2], 0)
        seen[clip[2]] = count + 1
        yield count % FOLDS, clip


def scales_of(clips):
    """Mean and deviation of each coefficient."""
    columns = [[v for clip in clips for v in clip[3][k::NUMBERS]] for k in range(NUMBERS)]
    means = [sum(column) / len(column) for column in columns]
    squares = [sum((v - m) ** 2 for v in column) / len(column) for column, m in zip(columns, means)]
    return [(mean, max(square, 1e-6) ** 0.5) for mean, square in zip(means, squares)]


def scaled(clip, scales):
    """Frames of standardized coefficients."""
    values = [(v - scales[i % NUMBERS][0]) / scales[i % NUMBERS][1] for i, v in enumerate(clip[3])]
    return [values[t * NUMBERS : (t + 1) * NUMBERS] for t in range(FRAMES)]


def changed(frames, draw):
    """Moved, faster or slower, of another level and microphone, noisy, with parts hidden behind the mean."""
    shift, speed = draw.uniform(-6, 6), draw.uniform(0.88, 1.12)
    offset = [draw.gauss(0, 0.4 if k == 0 else 0.2) for k in range(NUMBERS)]
    slope = [draw.uniform(0.85, 1.15) for _ in range(NUMBERS)]
    noise = draw.uniform(0, 0.3)
    out = []
    for t in range(FRAMES):
        at = (t - FRAMES / 2 - shift) * speed + FRAMES / 2
        at = min(max(at, 0.0), FRAMES - 1.0)
        low = min(int(at), FRAMES - 2)
        part = at - low
        pair = zip(frames[low], frames[low + 1], slope, offset)
        out.append([(a + part * (b - a)) * s + o + draw.gauss(0, noise) for a, b, s, o in pair])
    for _ in range(2):
        length = draw.randrange(0, 7)
        start = draw.randrange(0, FRAMES - length)
        for t in range(start, start + length):
            out[t] = [0.0] * NUMBERS
    if draw.random() < 0.5:
        hidden = draw.randrange(1, NUMBERS)
        for frame in out:
            frame[hidden] = 0.0
    return out


def write(path, clips, labels, classes, scales):
    """A file as data.kind = "frames" reads it."""
    values = array.array("f", (v for frames in clips for frame in frames for v in frame)).tobytes()
    numbers = array.array("i", labels).tobytes()
    about = {"classes": classes, "mean_and_deviation": scales}
    header = {
        "__metadata__": {"toeplite": json.dumps(about)},
        "features": {"dtype": "F32", "shape": [len(clips), FRAMES, NUMBERS], "data_offsets": [0, len(values)]},
        "labels": {"dtype": "I32", "shape": [len(labels)], "data_offsets": [len(values), len(values) + len(numbers)]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(struct.pack("<Q", len(text)) + text + values + numbers)
    part.rename(path)


def write_fold(folder, train, test, classes, copies, seed):
    """What is learnt from and what is tested; scales are those of the former."""
    scales = scales_of(train)
    draw = random.Random(seed)
    own = [scaled(clip, scales) for clip in train]
    made, labels = list(own), [clip[2] for clip in train]
    for frames, clip in zip(own, train):
        for _ in range(copies):
            made.append(changed(frames, draw))
            labels.append(clip[2])
    write(folder / "train.safetensors", made, labels, classes, scales)
    write(folder / "test.safetensors", [scaled(c, scales) for c in test], [c[2] for c in test], classes, scales)
    print(f"{folder}: {len(train)} clips to learn from and {copies} copies of each, {len(test)} to test", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inner", action="store_true")
    args = parser.parse_args()
    clips = clips_of(args.clips)
    names = {label: word for _, word, label, _ in clips}
    classes = [names[label] for label in sorted(names)]
    parts = list(folded(clips))
    if args.inner:
        inner = list(folded([clip for fold, clip in parts if fold != 0]))
        train, test = ([c for f, c in inner if (f == 0) == tested] for tested in (False, True))
        return write_fold(args.out / "inner", train, test, classes, args.copies, args.seed)
    for fold in range(FOLDS):
        train, test = ([c for f, c in parts if (f == fold) == tested] for tested in (False, True))
        write_fold(args.out / f"fold-{fold + 1}", train, test, classes, args.copies, args.seed + fold)


if __name__ == "__main__":
    main()
