"""A network of three features, written by hand with safetensors alone: the trace file as anyone makes it.

Two tokens, width 3, two layers, no attention. By pencil and paper::

    residual stream at token 1:  r = (2, 1, 0)
    layer 0:  A reads x1:          z = 2            a = 2      writes 1.0 to x3
              B reads x2 - 0.5:    z = 1 - 0.5      a = 0.5    writes 4.0 to x3
    layer 1:  C reads x3 - 3·x2:   x3 = 2·1 + 0.5·4 = 4, so z = 4 - 3 = 1, a = 1, writes 5 to x1
    output:   x1 + 0.25:           2 + 1·5 + 0.25 = 7.25

    weights   into A: token 2.       into B: token 1, own -0.5.
              into C: A 2, B 2, token -3.
              into the output: token 2, C 5, own 0.25.

Run as a script with a path to write the file there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

EDGES = {
    ("tok@1", "0/0@1"): 2.0,
    ("tok@1", "0/1@1"): 1.0,
    ("bias:own", "0/1@1"): -0.5,
    ("0/0@1", "1/0@1"): 2.0,
    ("0/1@1", "1/0@1"): 2.0,
    ("tok@1", "1/0@1"): -3.0,
    ("tok@1", "logit:yes"): 2.0,
    ("1/0@1", "logit:yes"): 5.0,
    ("bias:own", "logit:yes"): 0.25,
}


def write(path: Path) -> None:
    floats, ints = np.float32, np.int32
    arrays = {
        "token_embedding": np.array([[0, 0, 0], [2, 1, 0]], floats),
        # rows: what A reads and B reads, what A and B write, what C reads, what C writes
        "vectors": np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -3, 1], [1, 0, 0]], floats),
        "feature.layer": np.array([0, 0, 1], ints),
        "feature.position": np.array([1, 1, 1], ints),
        "feature.id": np.array([0, 1, 0], ints),
        "feature.activation": np.array([2, 0.5, 1], floats),
        "feature.pre_activation": np.array([2, 0.5, 1], floats),
        "feature.bias": np.array([0, -0.5, 0], floats),
        "read.feature": np.array([0, 1, 2], ints),
        "read.vector": np.array([0, 1, 3], ints),
        "write.feature": np.array([0, 1, 2], ints),
        "write.vector": np.array([2, 2, 4], ints),
        "write.coefficient": np.array([1, 4, 5], floats),
        "target.vector": np.array([[1, 0, 0]], floats),
        "target.bias": np.array([0.25], floats),
        "target.value": np.array([7.25], floats),
    }
    header = {
        "format": "trace",
        "version": 1,
        "prompt": {"text": "say yes", "ids": [0, 1], "tokens": ["say", " yes"]},
        "target_names": ["logit:yes"],
        "labels": {"0/0@1": "A", "0/1@1": "B", "1/0@1": "C"},
    }
    save_file(arrays, path, metadata={"circuits": json.dumps(header)})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
