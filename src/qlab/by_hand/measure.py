"""What notebook 00 measures on its layer, as records: errors of weights, outputs, activations."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.by_hand import gptq, training
from qlab.by_hand import grid as by_hand
from qlab.by_hand.data import World
from qlab.core import stats
from qlab.core.records import Metric, Record, Recorder
from qlab.core.stats import Estimate

EXPERIMENT = "by_hand"
METRICS = {
    "weight_error": Metric("1", -1),
    "output_error": Metric("1", -1),
    "zero_share": Metric("1"),
    "best_clip": Metric("1"),
    "activation_error": Metric("1", -1),
    "activation_error_ratio": Metric("1", -1),
}
PACKAGES = ["numpy", "h5py", "pillow"]
BITS = (2, 3, 4, 5, 6, 7, 8)
CLIPPED_BITS = (2, 3, 4, 8)
CLIPS = tuple(round(0.2 + 0.02 * i, 2) for i in range(41))  # shares of the range, to 1
ACTIVATION_BITS = 8
DRAWS = 1000  # bootstrap resamples of the test images
GRIDS = {  # scheme, and whether each channel has a scale of its own, by name
    f"{scheme}_{part}": (make, part == "channel")
    for scheme, make in by_hand.SCHEMES.items()
    for part in ("tensor", "channel")
}
_RECORD = Recorder(EXPERIMENT, METRICS)


class Made(NamedTuple):
    """Weights [16, 27] as a method put them on a grid, and what they are called."""

    variant: str  # its name in the records
    method: str  # rtn, ste or gptq
    bits: int  # of a weight
    weight: np.ndarray  # float [16, 27], on the grid


def named(method: str, bits: int, grid: str) -> str:
    """A variant's name, such as `gptq_w4_sym_channel`."""
    return f"{method}_w{bits}_{grid}"


def rounded(weight: np.ndarray) -> list[Made]:
    """Round-to-nearest: both schemes, per tensor and per channel, over bits."""
    made = []
    for bits, (name, (make, per_channel)) in product(BITS, GRIDS.items()):
        back = by_hand.round_trip(weight, make(weight, bits, per_channel))
        made.append(Made(named("rtn", bits, name), "rtn", bits, back))
    return made


def learned(world: World) -> list[Made]:
    """GPTQ and straight-through training on the symmetric grids per channel, over bits."""
    made, weight = [], world.layer.weight
    for bits in BITS:
        grid = by_hand.symmetric(weight, bits, per_channel=True)
        chosen = {"gptq": gptq.gptq(weight, world.hessian, grid),
                  "ste": training.train(weight, world.hessian, grid).weight}  # fmt: skip
        made += [Made(named(m, bits, "sym_channel"), m, bits, w) for m, w in chosen.items()]
    return made


def rounding_records(world: World) -> list[Record]:
    """Errors of what was rounded to nearest, and the share of its weights that became 0."""
    records = []
    for made in rounded(world.layer.weight):
        records += _error_records(world, made)
        zero = float((made.weight == 0).mean())
        records.append(_counted(world, made.variant, "zero_share", zero, bits=made.bits))
    return records


def method_records(world: World) -> list[Record]:
    """Errors of what GPTQ and training chose."""
    return [record for made in learned(world) for record in _error_records(world, made)]


def clipping(weight: np.ndarray, bits: int) -> dict[float, tuple[float, float]]:
    """Squared error from rounding and from clipping, as shares of the weights', by clip.

    A weight beyond the grid's ends by more than half a step was clipped; symmetric, per tensor.
    """
    found = {}
    for clip in CLIPS:
        grid = by_hand.symmetric(weight, bits, clip=clip)
        squares = (by_hand.round_trip(weight, grid) - weight) ** 2 / (weight**2).sum()
        kept = by_hand.inside(weight, grid)
        found[clip] = float(squares[kept].sum()), float(squares[~kept].sum())
    return found


def clipping_records(world: World) -> list[Record]:
    """The share of the range that is best kept, and what it gains, over bits."""
    made = []
    for bits in CLIPPED_BITS:
        totals = {clip: sum(parts) for clip, parts in clipping(world.layer.weight, bits).items()}
        best = min(totals, key=totals.__getitem__)
        name = named("rtn", bits, "sym_tensor_clipped")
        error = float(np.sqrt(totals[best]))
        made.append(_counted(world, name, "best_clip", best, bits=bits))
        made.append(_counted(world, name, "weight_error", error, bits=bits))
    return made


def ranges(world: World) -> tuple[float, np.ndarray, np.ndarray]:
    """The static top (largest output of the calibration images), each test image's own, outputs.

    Outputs [images, positions, 16] are after ReLU, so that 0 is the bottom of every range.
    """
    outputs = world.layer.outputs(world.test)
    return float(world.layer.outputs(world.calibration).max()), outputs.max((1, 2)), outputs


def activation_errors(world: World) -> dict[str, np.ndarray]:
    """Relative error of each test image's outputs, rounded with a static and with its own range.

    Root mean square of the change, as a share of the outputs' own.
    """
    static, own, outputs = ranges(world)
    high, errors = 2**ACTIVATION_BITS - 1, {}
    for name, top in {"static": np.full_like(own, static), "dynamic": own}.items():
        scale = (top / high)[:, None, None]
        grid = by_hand.Grid(scale, np.zeros_like(scale), 0, high)
        change = (by_hand.round_trip(outputs, grid) - outputs) ** 2
        errors[name] = np.sqrt(change.mean((1, 2)) / (outputs**2).mean((1, 2)))
    return errors


def activation_records(world: World) -> list[Record]:
    """Mean error over test images of a static and of dynamic ranges, and their ratio."""
    errors = activation_errors(world)
    weights = stats.resamples(len(world.test), DRAWS, seed=0)
    made = []
    for name, error in errors.items():
        value, samples = float(error.mean()), weights @ error / len(error)
        made.append(_estimated(world, f"a8_{name}", "activation_error", value, samples))
    static, dynamic = errors["static"], errors["dynamic"]
    value = float(dynamic.sum() / static.sum())
    samples = (weights @ dynamic) / (weights @ static)
    made.append(_estimated(world, "a8_dynamic", "activation_error_ratio", value, samples))
    return made


def items(world: World) -> pd.DataFrame:
    """What the intervals are computed from: a row a variant and test image.

    `value` is the outputs' energy (variant `float`), that of their change (`error_energy`), or the
    relative error of rounded outputs (`activation_error`).
    """
    weight, images = world.layer.weight, len(world.test)
    found = {("float", "energy"): by_hand.energy(weight, world.judged)}
    for made in [*rounded(weight), *learned(world)]:
        found[made.variant, "error_energy"] = by_hand.energy(made.weight - weight, world.judged)
    for name, error in activation_errors(world).items():
        found[f"a8_{name}", "activation_error"] = error
    parts = [
        pd.DataFrame({"variant": v, "metric": m, "image": np.arange(images), "value": values})
        for (v, m), values in found.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _error_records(world: World, made: Made) -> list[Record]:
    """Error of the weights, and of the outputs on the test images with its interval."""
    weight, (variant, method, bits, other) = world.layer.weight, made
    change, signal = (by_hand.energy(m, world.judged) for m in (other - weight, weight))
    drawn = stats.resamples(len(world.test), DRAWS, seed=0)
    samples = np.sqrt((drawn @ change) / (drawn @ signal))
    value, error = float(np.sqrt(change.sum() / signal.sum())), by_hand.weight_error(weight, other)
    about = {"method": method, "bits": bits}
    return [
        _counted(world, variant, "weight_error", error, **about),
        _estimated(world, variant, "output_error", value, samples, **about),
    ]


def _counted(world: World, variant: str, metric: str, value: float, **about) -> Record:
    """Counted over all weights of the layer, which no data set judges: no interval."""
    about = {"method": "rtn", "dataset": "none"} | about
    return _RECORD.counted(world, variant, metric, value, world.layer.weight.size, **about)


def _estimated(world: World, variant: str, metric: str, value: float, samples, **about) -> Record:
    """Of the test images, with a bootstrap interval over them."""
    e = Estimate(value, *stats.bootstrap_interval(samples, value), len(world.test))
    return _RECORD.estimated(world, variant, metric, e, seed=0, **about)
