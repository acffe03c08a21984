"""What notebook 04 says more than once: names, intensities, and two of its tables."""

from collections.abc import Mapping, Sequence

import pandas as pd

from qlab.core.records import interval, pick
from qlab.evidence import models
from qlab.evidence.measure import SIX, by_way, wide
from qlab.evidence.robustness import ALL
from qlab.evidence.synthesis import PUBLISHED

_NAMES = {"f1": "F1", "gpu": "GPU"}


def name(effect: str) -> str:
    """`gpu_memory_utilisation` as `GPU memory utilisation`."""
    return " ".join(_NAMES.get(part, part) for part in effect.split("_"))


def written(rows: pd.DataFrame) -> pd.Series:
    """`WP-PO 0.82` for each row of `measure.wide`."""
    return rows["intensity"].astype(object) + rows["belief"].map(" {:.2f}".format).astype(object)


def counted(number: int) -> str:
    """`1 model`, `2 models`."""
    return f"{number:.0f} model{'' if number == 1 else 's'}"


def direction(row: Mapping) -> str:
    """`better`, `worse` or `none`: the side of the scale on which the intensity lies."""
    return "better" if row["high"] > 0 else "worse" if row["low"] < 0 else "none"


def robustness(table: pd.DataFrame, ways: Sequence[str], model: str = SIX) -> pd.DataFrame:
    """Intensity and belief by way of weighing, of the ten effects; `*` marks another intensity."""
    found = by_way(table, model, ways)
    base, columns = found[ALL]["intensity"], {}
    for way, rows in found.items():
        same = rows["intensity"] == base.reindex(rows.index)
        columns[way] = written(rows) + same.map({True: "", False: "*"})
    effects = [effect for effect in PUBLISHED if effect in base.index]
    return pd.DataFrame(columns).reindex(effects).fillna("–").rename(name)


def meta(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """The synthesis beside the random-effects mean, where at least two variances are known."""
    means, i2 = (
        pick(table, metric, model=model).set_index("part")
        for metric in ("improvement", "i_squared")
    )
    found = wide(table, model, ALL)
    found = found[found.index.isin(means.index)]
    means = means.loc[found.index]
    columns = {
        "synthesis": written(found),
        "its models": found["models"],
        "mean improvement, %": means.apply(interval, axis=1, form=".1f"),
        "of models": means["n"],
        "as intensity": [
            models.by_rule({"effect": e, "improvement": v}) for e, v in means["value"].items()
        ],
        "I²": i2["value"].map("{:.0%}".format),
    }
    return pd.DataFrame(columns, index=found.index).rename(name)
