"""The metrics of experiment `resnet_qat`, and how a point's numbers become records."""

from collections.abc import Mapping

import numpy as np

from qlab.classifier.points import Answer, Point
from qlab.classifier.sweep import EXPERIMENT
from qlab.core import records
from qlab.core.records import Metric, Record, Recorder
from qlab.core.stats import Estimate

# Which graph is judged: its metric.
GRAPHS = {
    "tflite": "accuracy",
    "float": "accuracy_float_graph",
    "fake_quant": "accuracy_fake_quant",
}
OVER_SEEDS = ("difference", "minus_tuned", "minus_ptq", "minus_last")
_MORE, _LESS = Metric("1", 1), Metric("1", -1)  # of shares, more or less is better
_BYTES = Metric("byte", -1)
_MS, _RATIO = (Metric(unit, -1, clock=True) for unit in ("ms", "1"))
METRICS = {
    **dict.fromkeys(GRAPHS.values(), _MORE),
    **dict.fromkeys(["accuracy_difference", "accuracy_minus_tuned"], _MORE),
    **{f"accuracy_{of}_over_seeds": _MORE for of in OVER_SEEDS},
    **{"calibration_error": _LESS, **records.COMPARED},
    **{"flips_lost": Metric("image", -1), "flips_gained": Metric("image")},
    **dict.fromkeys(["size_bytes", "size_gzip_bytes", "size_analytic_bytes"], _BYTES),
    **{"quantized_layers": Metric("layer"), "quantized_share": Metric("1")},
    **dict.fromkeys(["train_steps", "diverged_at_step"], Metric("step")),
    "failed": Metric("point", -1),  # could not be made: the log says why
    **{"train_step_ms_p50": _MS, "latency_ms_p50": _MS, "latency_ms_p90": _MS},
    **{"train_step_ratio": _RATIO, "latency_ratio": _RATIO},
    "network_step_bytes": _BYTES._replace(clock=True),  # acknowledgements and all
    **dict.fromkeys(["network_step_analytic_bytes", "network_gradient_bytes"], _BYTES),
    "network_messages": Metric("message", -1),
    "update_bytes": _BYTES,
    "formula_left_out_error": Metric("pp"),  # measured minus predicted, in percentage points
    "formula_fits": Metric("1"),  # p of lack of fit
}
RECORD = Recorder(EXPERIMENT, METRICS)
Answers = Mapping[Point, Answer]  # what each point's file says
Worse = dict[tuple[str, int], dict[Point, np.ndarray]]  # condition, strength -> probabilities


def recorded(task, point: Point, found: Mapping, seeded: bool = True, **more) -> list[Record]:
    """A record of each metric in `found`: of an Estimate with its interval, of a number without.

    They are about the point, with its seed or whatever its seed, and `more` columns.
    """
    about = (point.drawn if seeded else point.columns) | more
    return [
        RECORD.estimated(task, point.variant, metric, e, **about)
        if isinstance(e, Estimate)
        else RECORD.counted(task, point.variant, metric, e, **about)
        for metric, e in found.items()
    ]
