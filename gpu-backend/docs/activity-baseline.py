#!/usr/bin/env python3
"""What simple classifiers make of the recordings' windows of 4 s, each subject left out in turn: activity-baseline.py FOLDER

Mean, deviation, least and largest of each channel; logistic regression, and a forest of 300 trees. Needs NumPy and scikit-learn.
"""
import pathlib
import sys

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LENGTH, HOP = 200, 50


def main(folder):
    features, labels, subjects = [], [], []
    for path in sorted(pathlib.Path(folder).glob("*/*.csv")):
        samples = np.loadtxt(path, delimiter=",", skiprows=1)
        for start in range(0, len(samples) - LENGTH + 1, HOP):
            window = samples[start:start + LENGTH]
            features.append(np.concatenate([window.mean(0), window.std(0), window.min(0), window.max(0)]))
            labels.append(path.parent.name)
            subjects.append(path.name.split("_")[0])
    features, labels, subjects = map(np.array, (features, labels, subjects))
    print(f"largest class: {100 * max(np.unique(labels, return_counts=True)[1]) / len(labels):.1f} % of {len(labels)} windows")
    names = sorted(set(subjects), key=int)
    for name, model in [
        ("linear", make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))),
        ("forest", RandomForestClassifier(300, random_state=1)),
    ]:
        right = []
        for subject in names:
            test = subjects == subject
            model.fit(features[~test], labels[~test])
            right.append(100 * model.score(features[test], labels[test]))
        each = ", ".join(f"{subject}: {r:.1f}" for subject, r in zip(names, right))
        print(f"{name}: {np.mean(right):.1f} % ({each})")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
