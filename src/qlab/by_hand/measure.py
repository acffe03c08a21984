"""What notebook 00 measures on its layer, as records: errors of weights, outputs, activations."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.by_hand import gptq, training
from qlab.by_hand import grid as by_hand
from qlab.by_hand.data import World
from qlab.core import stats
from qlab.core.records import Record, Recorder, metrics
from qlab.core.stats import Estimate

EXPERIMENT = "by_hand"
ERRORS = ["weight_error", "output_error"]
PACKAGES = ["numpy", "h5py", "pillow"]
BITS = (2, 3, 4, 5, 6, 7, 8)
DRAWS = 1000  # bootstrap resamples of the test images
_RECORD = Recorder(EXPERIMENT, metrics(__file__))


class Made(NamedTuple):
    """Weights [16, 27] that a method has put on a grid."""

    method: str  # rtn, ste or gptq
    bits: int  # per weight
    grid: str  # scheme and granularity, such as sym_channel
    weight: np.ndarray  # float [16, 27], on the grid

    @property
    def variant(self) -> str:
        """Its name in the records, such as `gptq_w4_sym_channel`."""
        return f"{self.method}_w{self.bits}_{self.grid}"


def rounded(weight: np.ndarray) -> list[Made]:
    """Round-to-nearest with both schemes, per tensor and per channel, at each of BITS."""
    made = []
    for bits, scheme, part in product(BITS, by_hand.SCHEMES, ("tensor", "channel")):
        grid = by_hand.SCHEMES[scheme](weight, bits, part == "channel")
        made.append(Made("rtn", bits, f"{scheme}_{part}", by_hand.round_trip(weight, grid)))
    return made


def learned(world: World) -> list[Made]:
    """GPTQ and straight-through training on symmetric grids per channel, at each of BITS."""
    made, here = [], (world.layer.weight, world.hessian)
    for bits in BITS:
        grid = by_hand.symmetric(world.layer.weight, bits, per_channel=True)
        made.append(Made("gptq", bits, "sym_channel", gptq.gptq(*here, grid)))
        made.append(Made("ste", bits, "sym_channel", training.train(*here, grid).weight))
    return made


def error_records(world: World, made: list[Made]) -> list[Record]:
    """Errors of the weights, and of the outputs on the test images; for round-to-nearest also the
    share of the weights that became 0."""
    weight, records = world.layer.weight, []
    signal = by_hand.energy(weight, world.judged)
    for one in made:
        about = {"method": one.method, "bits": one.bits}
        error = by_hand.weight_error(weight, one.weight)
        change = by_hand.energy(one.weight - weight, world.judged)
        records.append(_counted(world, one.variant, "weight_error", error, **about))
        of = (world, one.variant, "output_error")
        records.append(_estimated(*of, change, signal, power=0.5, **about))
        if one.method == "rtn":
            zero = (one.weight == 0).mean()
            records.append(_counted(world, one.variant, "zero_share", zero, **about))
    return records


def clipping_records(world: World, errors: pd.DataFrame) -> list[Record]:
    """At each bit width, the best share of the range to keep, and the weight error then. `errors`
    has `bits`, `clip` (the share kept) and `total` (squared error, relative to the weights')."""
    made = []
    for best in errors.loc[errors.groupby("bits")["total"].idxmin()].itertuples():
        here = (world, f"rtn_w{best.bits}_sym_tensor_clipped")
        about = {"method": "rtn", "bits": best.bits}
        made.append(_counted(*here, "best_clip", best.clip, **about))
        made.append(_counted(*here, "weight_error", best.total**0.5, **about))
    return made


def activation_records(world: World, errors: pd.DataFrame) -> list[Record]:
    """Mean error over the test images with `static` and with `dynamic` ranges, and their ratio."""
    static, dynamic = (errors[name].to_numpy() for name in ("static", "dynamic"))
    return [
        _estimated(world, "a8_static", "activation_error", static, np.ones_like(static)),
        _estimated(world, "a8_dynamic", "activation_error", dynamic, np.ones_like(static)),
        _estimated(world, "a8_dynamic", "activation_error_ratio", dynamic, static),
    ]


def items(world: World, errors: pd.DataFrame) -> pd.DataFrame:
    """What the intervals are computed from: a row per variant and test image.

    `value` is the energy of the outputs (variant `float`), that of their change (`error_energy`),
    or, from `errors` as in `activation_records`, the relative error of rounded outputs.
    """
    weight = world.layer.weight
    found = {("float", "energy"): by_hand.energy(weight, world.judged)}
    for one in [*rounded(weight), *learned(world)]:
        found[one.variant, "error_energy"] = by_hand.energy(one.weight - weight, world.judged)
    for name in ("static", "dynamic"):
        found[f"a8_{name}", "activation_error"] = errors[name]
    wide = pd.DataFrame(found).rename_axis(["variant", "metric"], axis=1).rename_axis("image")
    return wide.unstack().rename("value").reset_index()


def _counted(world: World, variant: str, metric: str, value: float, **about) -> Record:
    """A number from all weights of the layer, which no data set judges: no interval."""
    size = world.layer.weight.size
    return _RECORD.counted(world, variant, metric, value, size, dataset="none", **about)


def _estimated(world, variant, metric, above, under, power=1, **about) -> Record:
    """A ratio of sums over test images, raised to a power, with a bootstrap interval over them."""
    drawn = stats.resamples(len(above), DRAWS, seed=0)
    value = float((above.sum() / under.sum()) ** power)
    samples = ((drawn @ above) / (drawn @ under)) ** power
    e = Estimate(value, *stats.bootstrap_interval(samples, value), len(above))
    return _RECORD.estimated(world, variant, metric, e, seed=0, **about)
