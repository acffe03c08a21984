"""What notebook 00 measures on its layer, as records: errors of weights, outputs, activations."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qlab.by_hand import data, gptq, training
from qlab.by_hand import grid as by_hand
from qlab.by_hand.data import Layer
from qlab.core import embedded, shapes32, stats
from qlab.core.cache import file_sha256
from qlab.core.place import place
from qlab.core.records import Record

EXPERIMENT = "by_hand"
PACKAGES = ["numpy", "h5py", "pillow"]
BITS = (2, 3, 4, 5, 6, 7, 8)
CLIPPED_BITS = (2, 3, 4, 8)
CLIPS = tuple(round(0.2 + 0.02 * i, 2) for i in range(41))  # shares of the range, to 1
ACTIVATION_BITS = 8
# Images by profile: (calibration split, test split).
COUNTS = {"smoke": (16, 32), "mini": (64, 256), "full": (512, 2000)}
DRAWS = 1000  # bootstrap resamples of the test images


@dataclass(frozen=True)
class World:
    """The layer, and what it sees: patches [images, positions, 27] and moments [images, 27, 27]."""

    model: str  # its name in the records
    place: str  # folder name of its records and figures
    layer: Layer
    calibration: np.ndarray  # patches
    test: np.ndarray  # patches of other images
    seen: np.ndarray  # moments of the calibration patches
    judged: np.ndarray  # moments of the test patches

    @property
    def hessian(self) -> np.ndarray:
        """H of the calibration images, [27, 27]."""
        return self.seen.mean(0)

    def settings(self) -> dict:
        """The parameters, for the provenance."""
        images = {"calibration_images": len(self.calibration), "test_images": len(self.test)}
        return {"model": self.model, "place": self.place, **images}

    def inputs(self) -> dict[str, str]:
        """Hashes of the files that were read."""
        return {self.model: file_sha256(embedded.resnet_file(self.model))}


def prepare(profile: str, model: str) -> World:
    """The layer of an embedded classifier, and images of the two splits, drawn from their seeds."""
    splits = zip(("calibration", "test"), COUNTS[profile], strict=True)
    seen, judged = (data.patches(shapes32.kept(*s).images) for s in splits)
    where = place(profile, model, {"model": model}, {"model": "resnet8_shapes32"})
    layer = data.first_layer(model)
    both = (data.moments(patches) for patches in (seen, judged))
    return World(model, where, layer, seen, judged, *both)


def rounding_records(world: World) -> list[Record]:
    """Round-to-nearest: both schemes, per tensor and per channel, over bits."""
    made = []
    for name, grid in grids(world.layer.weight):
        other = by_hand.round_trip(world.layer.weight, grid)
        made += _error_records(world, f"rtn_{name}", other)
        made.append(_record(world, f"rtn_{name}", "zero_share", float((other == 0).mean())))
    return made


def grids(weight: np.ndarray) -> Iterable[tuple[str, by_hand.Grid]]:
    """Every grid of the study by its name, such as `w4_sym_channel`."""
    for bits in BITS:
        for scheme, make in by_hand.SCHEMES.items():
            for part in ("tensor", "channel"):
                yield f"w{bits}_{scheme}_{part}", make(weight, bits, part == "channel")


def method_records(world: World) -> list[Record]:
    """GPTQ and straight-through training on the symmetric grids per channel, over bits."""
    made, weight = [], world.layer.weight
    for bits in BITS:
        grid = by_hand.symmetric(weight, bits, per_channel=True)
        chosen = gptq.gptq(weight, world.hessian, grid)
        made += _error_records(world, f"gptq_w{bits}_sym_channel", chosen)
        trained = training.train(weight, world.hessian, grid).weight
        made += _error_records(world, f"ste_w{bits}_sym_channel", trained)
    return made


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
        name = f"rtn_w{bits}_sym_tensor_clipped"
        made.append(_record(world, name, "best_clip", best))
        made.append(_record(world, name, "weight_error", float(np.sqrt(totals[best]))))
    return made


def ranges(world: World) -> tuple[float, np.ndarray, np.ndarray]:
    """The static top (largest output of the calibration images), each test image's own, outputs.

    Outputs [images, positions, 16] are after ReLU, so that 0 is the bottom of every range.
    """
    outputs = world.layer.outputs(world.test)
    return float(world.layer.outputs(world.calibration).max()), outputs.max((1, 2)), outputs


def activation_errors(world: World) -> dict[str, np.ndarray]:
    """Relative error of each test image's outputs, rounded with a static and with its own range."""
    static, own, outputs = ranges(world)
    tops = {"static": np.full_like(own, static), "dynamic": own}
    return {name: _rounded_error(outputs, top) for name, top in tops.items()}


def _rounded_error(outputs: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Root mean square of the change of each image, as a share of the outputs' own."""
    high = 2**ACTIVATION_BITS - 1
    scale = (top / high)[:, None, None]
    grid = by_hand.Grid(scale, np.zeros_like(scale), 0, high)
    change = (by_hand.round_trip(outputs, grid) - outputs) ** 2
    return np.sqrt(change.mean((1, 2)) / (outputs**2).mean((1, 2)))


def activation_records(world: World) -> list[Record]:
    """Mean error over test images of a static and of dynamic ranges, and their ratio."""
    errors = activation_errors(world)
    weights = stats.resamples(len(world.test), DRAWS, seed=0)
    made = []
    for name, error in errors.items():
        value, samples = float(error.mean()), weights @ error / len(error)
        made.append(_estimate(world, f"a8_{name}", "activation_error", value, samples))
    static, dynamic = errors["static"], errors["dynamic"]
    value = float(dynamic.sum() / static.sum())
    samples = (weights @ dynamic) / (weights @ static)
    made.append(_estimate(world, "a8_dynamic", "activation_error_ratio", value, samples))
    return made


def _error_records(world: World, variant: str, other: np.ndarray) -> list[Record]:
    """Error of the weights, and of the outputs on the test images with its interval."""
    weight = world.layer.weight
    change, signal = (by_hand.energy(m, world.judged) for m in (other - weight, weight))
    drawn = stats.resamples(len(world.test), DRAWS, seed=0)
    samples = np.sqrt((drawn @ change) / (drawn @ signal))
    value = float(np.sqrt(change.sum() / signal.sum()))
    return [
        _record(world, variant, "weight_error", by_hand.weight_error(weight, other)),
        _estimate(world, variant, "output_error", value, samples),
    ]


def _record(world: World, variant: str, metric: str, value: float) -> Record:
    """Counted over all weights of the layer: no interval."""
    count = world.layer.weight.size
    return Record(EXPERIMENT, world.model, "none", variant, metric, value, "1", n=count)


def _estimate(world: World, variant: str, metric: str, value: float, samples) -> Record:
    """Of the test images, with a bootstrap interval over them."""
    interval = stats.bootstrap_interval(samples, value)
    images = len(world.test)
    return Record(
        EXPERIMENT, world.model, "shapes32", variant, metric, value, "1", *interval, images, seed=0
    )
