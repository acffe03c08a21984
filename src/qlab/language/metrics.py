"""What experiment `llama_gptq` counts, and how its records are made."""

from pathlib import Path

import numpy as np
import yaml

from qlab.core import stats
from qlab.core.records import COMPARED, Metric, Record, Recorder
from qlab.core.stats import Estimate

EXPERIMENT = "llama_gptq"
COUNTS = ("tokens_per_s", "tokens_per_s_prefill", "tokens_per_s_decode")  # rates
FLIPS = (*COMPARED, "flips_lost", "flips_gained")
ABOUT = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())  # of each metric
METRICS = {
    name: Metric(**{part: about[part] for part in Metric._fields if part in about})
    for name, about in ABOUT.items()
}
METRICS |= COMPARED
METRICS |= {f"acc_{name}": METRICS[name] for name in FLIPS}
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
