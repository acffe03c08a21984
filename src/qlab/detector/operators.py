"""Where a .tflite's time goes: every operator alone, in a file of its own.

LiteRT's Python interpreter has no profiler. An operator's time in isolation is
a fair stand-in: same kernel, same delegate, same shapes; what is lost is the
fusion of neighbours, so the sum is reported beside the time of the whole.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from qlab.core import tflite_graph, timing
from qlab.core.litert import interpreter


def _fill(runner, rng: np.random.Generator) -> None:
    """Put noise into the inputs; the time of a dense kernel does not depend on the values."""
    for entry in runner.get_input_details():
        shape, kind = entry["shape"], entry["dtype"]
        if np.issubdtype(kind, np.floating):
            value = rng.random(shape, dtype=np.float32).astype(kind)
        elif kind == np.bool_:
            value = rng.random(shape) < 0.5
        else:
            value = rng.integers(0, 2, shape).astype(kind)
        runner.set_tensor(entry["index"], value)


def time_operators(
    file: Path, threads: int, xnnpack: bool = True, repeats: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Median milliseconds of each operator run alone: columns `kind`, `output`, `ms`.

    Operators that produce no work alone (their inputs are all constants) are
    left out.
    """
    rng = np.random.default_rng(seed)
    rows = []
    model = tflite_graph.read(file)
    for index, operator in enumerate(tflite_graph.operators(file)):
        runner = interpreter(tflite_graph.single_operator(model, index), threads, xnnpack)
        if not runner.get_input_details():
            continue
        _fill(runner, rng)
        seconds = timing.interleaved({"op": runner.invoke}, repeats)["op"]
        rows.append((operator.kind, operator.outputs[0], 1e3 * float(np.median(seconds))))
    return pd.DataFrame(rows, columns=["kind", "output", "ms"])
