"""What kind of number a metric is: counted or measured, better high or better low.

The one place that says so, from a record's name and unit alone, for comparing two runs (`compare`).

Measured is what a clock or a meter of the machine had a part in: times, speeds, memory, energy, and
what follows from them. Two runs of the same code on the same machine differ in it. Everything else
follows from data, code and seed, and two such runs agree.
"""

import re
from functools import cache
from pathlib import Path

from qlab.claims import claims
from qlab.claims.estimates import listed

# By their units, and by name those that are ratios of such numbers or follow from them.
MEASURED_UNITS = ("ms", "s", "token/s", "J", "W")
_MEASURED = re.compile(
    r"latency_.*|tokens_per_s.*|.*_seconds|train_step_(ms|ratio).*|operator_ms_.*"
    r"|.*peak_memory.*|energy_.*"
    # Counted at the network's interface, acknowledgements and all.
    r"|network_step_bytes"
    # A training that stops when a measured time is up: its steps, and how well it then does.
    r"|equal_time_steps|accuracy_equal_time"
)
# Units of numbers that are computed in floating point; all others count something.
FLOAT_UNITS = ("1", "dB", "percent", "KB", *MEASURED_UNITS)
GZIP_TOLERANCE = 1e-4  # a file of 290,006 bytes was 3 smaller when trained with one thread

_HIGHER = re.compile(
    r"ap\d*|ar|(ap|ar)_(small|medium|large)|acc|accuracy.*|top\d+_.*|found_share|tokens_per_s.*"
    r"|recovered_share|recovery|snr_db_.*"
)
_LOWER = re.compile(
    r"latency_.*|operator_ms_.*|.*_seconds|train_step_(ms|ratio).*|.*peak_memory.*|energy_.*"
    r"|size_.*|.*_bytes|network_messages|perplexity|calibration_error|layer_error_.*"
    r"|(acc_)?flip_rate|(acc_)?flips_lost"
)
# Evidence of our own experiments is weighed by what they measured.
_OURS = ("ours", "six_studies_and_ours")
_MEASURED_EFFECTS = ("inference_latency", "inference_energy")


def is_measured(experiment: str, model: str, variant: str, metric: str, unit: str) -> bool:
    """Whether a clock or a meter had a part in a record."""
    if experiment == "claims":
        return variant in claims_on_measured()
    if experiment == "evidence_synthesis":
        return model in _OURS and metric.startswith(_MEASURED_EFFECTS)
    return unit in MEASURED_UNITS or bool(_MEASURED.fullmatch(metric))


def tolerance(metric: str, unit: str, of_floats: float) -> float:
    """How far two equal numbers may lie apart, as a share of them.

    0 for what is whole by nature: bytes, images, layers. But how well a file compresses hangs on
    its weights' last digits, and those of a trained file on the order of sums, so on the threads.
    """
    if metric.endswith("gzip_bytes"):
        return max(of_floats, GZIP_TOLERANCE)
    return of_floats if unit in FLOAT_UNITS else 0.0


def direction(experiment: str, metric: str) -> int:
    """1 where more is better, -1 where less is, 0 where neither (claims, tests, settings).

    Of a difference to the float parent it is that of what it is a difference of.
    """
    if experiment in ("claims", "evidence_synthesis"):
        return 0
    name = re.sub(r"_difference(_extra)?$", "", metric)
    if name in ("detectable", "acc_detectable"):
        return 0
    if _HIGHER.fullmatch(name):
        return 1
    return -1 if _LOWER.fullmatch(name) else 0


def claims_on_measured() -> set[str]:
    """The ids of the claims whose rule reads a measured metric; none without data/claims.yaml."""
    file = claims.path()
    return _claims_on_measured(file) if file.is_file() else set()


@cache
def _claims_on_measured(file: Path) -> set[str]:
    known = claims.read(file)[1]
    return {c.id for c in known if any(_reads_measured(c, metric) for metric in _named(c.rule))}


def _reads_measured(claim: claims.Claim, metric: str) -> bool:
    """Whether a metric of the claim's rule is measured; a rule names no units."""
    return is_measured(claim.experiment, claim.rule.get("model", ""), "", metric, "")


def _named(rule: dict) -> list[str]:
    """All metrics that a claim's rule reads, those of `over`, `minus` and `values` too."""
    parts = [rule, rule.get("over", {}), rule.get("minus", {})]
    given = [part["metric"] for part in parts if "metric" in part]
    return [name for one in given for name in listed(one)] + list(rule.get("values", {}))
