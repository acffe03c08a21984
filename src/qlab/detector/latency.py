"""Seconds of a detection's stages in one process: `python -m qlab.detector.latency JSON`.

JSON holds the arguments of `rounds`; the answer is a list of [variant, stage, seconds].
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from qlab.core import timing
from qlab.core.images import read_image
from qlab.detector.detect import Detector, resized

Seconds = dict[tuple[str, str], np.ndarray]  # [rounds] by variant and stage


def stages(detector: Detector, files: Sequence[Path]) -> dict[str, Callable[[], object]]:
    """What a detection consists of, each stage callable alone and stepping through `files`.

    `decode` reads and unpacks the image file, `preprocess` resizes it and
    copies it into the input tensor, `invoke` runs the graph.
    """
    read, decoded = cycle(files), cycle([read_image(f) for f in files])
    return {
        "decode": lambda: read_image(next(read)),
        "preprocess": lambda: detector.set_image(resized(next(decoded), detector.size)),
        "invoke": detector.invoke,
    }


def rounds(
    files: Mapping[str, str],
    pictures: Sequence[str],
    threads: int,
    xnnpack: bool,
    repeats: int,
    seed: int = 0,
    progress=iter,
) -> Seconds:
    """Each variant's stages on the pictures, in turn, after two warm-up rounds (one before few).

    `files` are paths by variant, the first one of which reads the pictures too, as variant `image`,
    stage `decode`. With the built-in kernels (`xnnpack` false) the graph alone is timed.
    """
    calls = {}
    for variant, file in files.items():
        steps = stages(Detector(Path(file), threads, xnnpack), [Path(p) for p in pictures])
        steps["preprocess"]()
        calls[variant, "invoke"] = steps["invoke"]
        if xnnpack:
            calls[variant, "preprocess"] = steps["preprocess"]
            calls.setdefault(("image", "decode"), steps["decode"])
    return timing.interleaved(calls, repeats, 2 if repeats > 5 else 1, progress, seed)


if __name__ == "__main__":
    seconds = rounds(**json.loads(sys.argv[1]))
    print(json.dumps([[*of, values.tolist()] for of, values in seconds.items()]))
