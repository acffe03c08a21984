"""What experiment `llama_gptq` counts, and how its records are made."""

import numpy as np

from qlab.core import stats
from qlab.core.records import COMPARED, Metric, Record, Recorder
from qlab.core.stats import Estimate
from qlab.language import outcomes, sizes

EXPERIMENT = "llama_gptq"
# What each rate counts, over the wall time of the model alone: no tokenization, no loading.
COUNTS = {
    "tokens_per_s": "tokens read, one passage at a time; after each the next token is chosen",
    "tokens_per_s_prefill": "tokens of one prompt, read at once; then the next token is chosen",
    "tokens_per_s_decode": "tokens written one by one after that prompt, each the most probable",
}
_TOP = [f"top_{reading}" for reading in outcomes.READINGS]
_RATES = {name: Metric("token/s", 1, clock=True) for name in COUNTS}
FLIPS = COMPARED | {"flips_lost": Metric("passage", -1), "flips_gained": Metric("passage")}
METRICS = {
    **dict.fromkeys(["acc", *_TOP], Metric("1", 1)),
    **{f"{name}_difference": Metric("1", 1) for name in ["acc", *_TOP]},
    **FLIPS,
    **{f"acc_{name}": metric for name, metric in FLIPS.items()},
    "perplexity": Metric("1", -1),
    "log_likelihood": Metric("nat", 1),
    "log_likelihood_difference": Metric("nat", 1),
    "kl_divergence": Metric("nat", -1),
    "gap_growth_k1_k10": Metric("1"),
    "recovery_difference": Metric("1", 1),
    "recovered_share": Metric("1", 1),
    "train_seconds": Metric("s", -1, clock=True),
    "trained_parameters": Metric("parameter"),
    "adapter_bytes": Metric("byte", -1),
    "size_bytes": Metric("byte", -1),
    "size_kb": Metric("KB", -1),
    **{f"size_{part}_bytes": Metric("byte", -1) for part in sizes.PARTS},
    "layer_error": Metric("1", -1),
    "kurtosis": Metric("1"),
    "part_difference": Metric("nat"),
    "out_of_memory": Metric("1"),
    "peak_memory_bytes": Metric("byte", -1, clock=True),
    **_RATES,
    **{f"{name}_ratio": Metric("1", 1, clock=True) for name in _RATES},
}
DRAWS = 2000  # bootstrap resamples of a perplexity or a gap


class _Recorder(Recorder):
    """Records that say by which method a variant was made, at how many bits."""

    def counted(self, task, variant, metric, value, n=1, **more) -> Record:
        about = variant.about._asdict()
        return super().counted(task, variant.name, metric, value, n, **about | more)


record = _Recorder(EXPERIMENT, METRICS)


def mean(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """A mean, its interval resampling passages."""
    return resampled(float(values.mean()), (weights @ values) / weights.sum(axis=1), len(values))


def resampled(value: float, drawn: np.ndarray, n: int) -> Estimate:
    """A value of n passages, and its interval by what the resamples of them gave."""
    return Estimate(value, *stats.bootstrap_interval(drawn, value), n)
