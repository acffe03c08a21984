"""Peak resident bytes of fine-tuning, in a process of its own.

`python -m qlab.classifier.fine_tune_memory FILE SETTINGS`, SETTINGS being JSON: layers to quantize, bits,
leave_float, batch.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qlab.classifier import fine_tune, model_inputs, partial_qat
from qlab.classifier import model as keras_classifier
from qlab.core import timing

STEPS = 4  # the first two trace and allocate; memory was seen to be level after the third


def peak_memory(
    file: Path, layers: Sequence[str], bits: int, leave_float: Sequence[str], batch: int
) -> int:
    """Peak resident bytes of a fresh process that fine-tunes a classifier for a few steps.

    `layers` are quantized; with none it is the float model. Interpreter and TensorFlow are in it.
    """
    settings = {"layers": list(layers), "bits": bits, "leave_float": list(leave_float)}
    told = json.dumps(settings | {"batch": batch})
    return timing.peak_memory(["-m", "qlab.classifier.fine_tune_memory", str(file), told])


def _train(
    file: Path, layers: Sequence[str], bits: int, leave_float: Sequence[str], batch: int
) -> None:
    model = partial_qat.quantized(keras_classifier.load(file), layers, bits, leave_float)
    settings = fine_tune.Settings(1, batch)
    step = model_inputs.zeros(model, batch), np.zeros(batch, np.int64)
    fine_tune.run(fine_tune.compiled(model, settings), iter([step] * STEPS))


if __name__ == "__main__":
    _train(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    timing.print_peak_memory()
