"""Writes protocol{2,3,4,5}.pkl beside this file: one structure, pickled by CPython."""

import argparse
import collections
import pathlib
import pickle

shared = ["shared"]
cyclic = [1]
cyclic.append(cyclic)
structure = {
    "none": None,
    "flags": (True, False),
    "integers": [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**40, -(2**63), 2**63 - 1],
    "huge": [2**63, -(2**63) - 1, 2**3000],
    "floats": (0.1, float("inf")),
    "texts": ["", "Töplitz", "x" * 300],
    "empty": [(), [], {}],
    "tuples": [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "ordered": collections.OrderedDict([("first", 1), ("second", shared)]),
    "options": argparse.Namespace(gamma=0.98, name="tnn"),
    "shared": shared,
    "cyclic": cyclic,
    "class": collections.OrderedDict,
    "set": {7},
    "bytes": b"\x00\xff",
}
for protocol in range(2, 6):
    path = pathlib.Path(__file__).with_name(f"protocol{protocol}.pkl")
    path.write_bytes(pickle.dumps(structure, protocol))
