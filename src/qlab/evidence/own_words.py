"""What notebook 04 says of our own evidence, techniques, means, and a study that is given."""

from collections.abc import Mapping, Sequence

import pandas as pd

from qlab.core.records import interval, pick
from qlab.evidence import intensity, own
from qlab.evidence import models as evidence_models
from qlab.evidence.measure import BOTH, OURS, SIX, SIX_AND_GIVEN, techniques, wide
from qlab.evidence.robustness import ALL
from qlab.evidence.words import name, written


def sources(origins: Mapping[str, str]) -> str:
    """Which of our experiments are weighed, and which are missing."""
    told = []
    for experiment, how in own.EXPERIMENTS.items():
        missing = (
            "no records of the profile 'mini' yet, so nothing of it is weighed (python -m qlab run "
            f"{how.notebook} -p profile=mini)."
        )
        there = f"the records of the profile '{origins.get(experiment)}'."
        told.append(f"{experiment}: {there if experiment in origins else missing}")
    return "\n".join(told)


def models(ours: pd.DataFrame) -> pd.DataFrame:
    """Our evidence models: improvement in percent and its intensity, by effect."""
    if ours.empty:
        return pd.DataFrame()
    cells = [f"{r.improvement:+.1f} % {r.intensity}" for r in ours.itertuples()]
    shown = ours.assign(cell=cells, effect=ours["effect"].map(name))
    keys = ["study", "configuration", "technique"]
    return shown.pivot_table(
        index=keys, columns="effect", values="cell", aggfunc="first", sort=False, fill_value=""
    )


def with_ours(table: pd.DataFrame) -> pd.DataFrame:
    """The six studies, ours, and both, for the effects that we measured too."""
    six, ours, both = (wide(table, model, ALL) for model in (SIX, OURS, BOTH))
    rows = {}
    for e in ours.index:
        published = e in six.index
        rows[name(e)] = {
            "six studies": written(six.loc[e]) if published else "–",
            "their models": six.at[e, "models"] if published else 0,
            "ours": written(ours.loc[e]),
            "our models": ours.at[e, "models"],
            "together": written(both.loc[e]),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def changes(table: pd.DataFrame) -> str:
    """What our evidence does to the published answers, and where it points elsewhere."""
    six, ours, both = (wide(table, model, ALL) for model in (SIX, OURS, BOTH))
    if ours.empty:
        return "None of our experiments has records here, so nothing changes."
    lines = []
    for e in (e for e in ours.index if e in six.index):
        stays = six.at[e, "intensity"] == both.at[e, "intensity"]
        change = "stays" if stays else f"moves from {written(six.loc[e])} to"
        told = f"{name(e)} {change} {written(both.loc[e])}; ours alone say {written(ours.loc[e])}."
        lines.append(told[0].upper() + told[1:])
    return "\n".join(lines)


def times(ours: pd.DataFrame) -> str:
    """Which of our variants became faster and slower, and how far the slowest is off."""
    rows = ours[ours["effect"] == "inference_latency"].sort_values("improvement")
    if rows.empty:
        return "None of our experiments has records of times here."
    named, gain = rows["study"] + " " + rows["configuration"], rows["improvement"]
    same = intensity.CUTS["resource"][0]
    sides = {"faster": gain > same, "as fast": gain.abs() <= same, "slower": gain < -same}
    told = [f"{side}: {', '.join(named[some]) or 'none'}." for side, some in sides.items()]
    last = rows.iloc[0]
    told.append(
        f"The slowest takes {1 - last['improvement'] / 100:.1f} times as long as float: an "
        f"improvement of {last['improvement']:.0f} %, and on the scale {last['intensity']}."
    )
    return "\n".join(told)


def by_technique(table: pd.DataFrame, model: str, ways: Sequence[str]) -> pd.DataFrame:
    """Intensity, belief and number of models by technique, of the effects most often measured."""
    effects = ["accuracy", "average_precision", "storage_size", "inference_latency",
               "inference_energy"]  # fmt: skip
    rows = {}
    for technique in techniques(table, model, ways):
        found = wide(table, model, technique)
        told = {e: f"{written(row)} ({row['models']})" for e, row in found.iterrows()}
        rows[technique] = {name(e): told.get(e, "") for e in effects}
    return pd.DataFrame.from_dict(rows, orient="index")


def meta(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """The synthesis beside the random-effects mean, where at least two variances are known."""
    found, rows = wide(table, model, ALL), {}
    means, i2 = (
        pick(table, metric, model=model).set_index("part")
        for metric in ("improvement", "i_squared")
    )
    for effect in (e for e in found.index if e in means.index):
        row, cuts = means.loc[effect], intensity.CUTS[evidence_models.kind(effect)]
        rows[name(effect)] = {
            "synthesis": written(found.loc[effect]),
            "its models": found.at[effect, "models"],
            "mean improvement, %": interval(row, ".1f"),
            "of models": int(row["n"]),
            "as intensity": intensity.label(intensity.from_improvement(row["value"], cuts)),
            "I²": f"{i2.at[effect, 'value']:.0%}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def given_changes(table: pd.DataFrame) -> str:
    """What a table of one's own does to the published answers."""
    six, both = wide(table, SIX, ALL), wide(table, SIX_AND_GIVEN, ALL)
    if both.empty:
        return "No further study was given."
    lines = [
        f"{name(e)}: {written(six.loc[e]) if e in six.index else 'nothing'} before, "
        f"{written(both.loc[e])} with the given study."
        for e in both.index
        if e not in six.index or both.at[e, "models"] != six.at[e, "models"]
    ]
    return "\n".join(lines)
