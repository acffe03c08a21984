"""What one process measures: `python -m qlab.detector.latency JSON`, with arguments in JSON.

Those of `rounds` are answered with a list of [variant, stage, seconds]; `{"file": FILE, "threads":
N}` with the peak resident bytes of a process that runs one detection. It imports little.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from qlab.core import timing
from qlab.core.images import read_image
from qlab.detector.detect import Detector, resized

Seconds = dict[tuple[str, str], np.ndarray]  # [rounds] by variant and stage


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

    `files` are paths by variant. `preprocess` resizes a picture into the input tensor, `invoke`
    runs the graph (alone timed without `xnnpack`); `decode`, of the variant `image`, reads a file.
    """
    read, calls = cycle(map(Path, pictures)), {}
    for variant, file in files.items():
        detector = Detector(Path(file), threads, xnnpack)
        decoded = cycle([read_image(Path(p)) for p in pictures])

        def preprocess(detector=detector, decoded=decoded) -> None:
            detector.set_image(resized(next(decoded), detector.size))

        preprocess()
        calls[variant, "invoke"] = detector.invoke
        if xnnpack:
            calls[variant, "preprocess"] = preprocess
            calls["image", "decode"] = lambda: read_image(next(read))
    return timing.interleaved(calls, repeats, 2 if repeats > 5 else 1, progress, seed)


def _main(told: dict) -> None:
    if "file" in told:
        detector = Detector(Path(told["file"]), told["threads"])
        detector(np.zeros((*detector.size, 3), np.uint8))
        return timing.print_peak_memory()
    print(json.dumps([[*of, values.tolist()] for of, values in rounds(**told).items()]))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
