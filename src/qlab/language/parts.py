"""Which layers suffer: variants of which only some layers are quantized."""

import pandas as pd

from qlab.core import stats
from qlab.core.records import Record
from qlab.language import outcomes
from qlab.language.build import Variants
from qlab.language.data import Task
from qlab.language.metrics import DRAWS, mean, record

SOME = "some_layers"  # the condition of records that are not of whole variants


def records(
    task: Task, variants: Variants, sided: dict, layers: dict, judged: pd.DataFrame, seed: int
) -> list[Record]:
    """What variants lost of which only some layers are quantized, `sided` by (variant, side).

    Their records have the side as `part` and its number of layers as `k`; of neighbouring sides
    `part_difference` is the first one's log-likelihood minus the second's, on the same passages.
    """
    rows = dict(outcomes.by_variant(judged))
    whole = next(iter(rows.values()))
    log_p = {key: rows[one.name]["log_likelihood"].to_numpy() for key, one in sided.items()}
    weights = stats.resamples(len(whole), DRAWS, seed)
    made, sides = [], list(layers)
    for (base, side), one in sided.items():
        here = {"condition": SOME, "part": side, "k": len(layers[side]), "seed": seed}
        e = mean(log_p[base, side] - whole["log_likelihood"].to_numpy(), weights)
        made.append(record.estimated(task, variants[base], "log_likelihood_difference", e, **here))
        flips = stats.paired(whole["acc"].to_numpy(), rows[one.name]["acc"].to_numpy())
        e = flips.difference
        made.append(record.estimated(task, variants[base], "acc_difference", e, **here))
        at = sides.index(side)
        if at % 2 == 0 and at + 1 < len(sides):
            e = mean(log_p[base, side] - log_p[base, sides[at + 1]], weights)
            here["part"] = f"{side} minus {sides[at + 1]}"
            made.append(record.estimated(task, variants[base], "part_difference", e, **here))
    return made
