"""What notebook 04 says in words and tables, from the evidence models and the records."""

from collections.abc import Sequence

import pandas as pd

from qlab.evidence import intensity
from qlab.evidence import models as evidence_models
from qlab.evidence.measure import READING_A, SIX, conflicts, weighed, wide
from qlab.evidence.robustness import ALL, ONE_EACH
from qlab.evidence.synthesis import PUBLISHED

_NAMES = {"f1": "F1", "gpu": "GPU"}


def name(effect: str) -> str:
    """`gpu_memory_utilisation` as `GPU memory utilisation`."""
    return " ".join(_NAMES.get(part, part) for part in effect.split("_"))


def studies(table: pd.DataFrame) -> pd.DataFrame:
    """Each study's techniques, evidence models, effects, runs behind one number, and belief."""
    rows = {}
    for study, part in table.groupby("study", sort=False):
        first, (few, many) = part.iloc[0], (part["runs"].min(), part["runs"].max())
        rows[study] = {
            "techniques": ", ".join(dict.fromkeys(part["technique"])),
            "models": part["configuration"].nunique(),
            "effects": part["effect"].nunique(),
            "runs": f"{few}" if few == many else f"{few} to {many}",
            "belief": round(evidence_models.study_belief(first["base"], first["quality"]), 3),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def checked(tables: list[pd.DataFrame]) -> str:
    """How far the stored beliefs are from the rule; the intensities were compared when read."""
    rows = pd.concat(tables)
    off = max(abs(r["belief"] - evidence_models.published_rule(r)) for _, r in rows.iterrows())
    return (
        f"{len(rows)} rows recomputed from their improvements: every intensity is the published "
        f"one, the beliefs differ by {off:.4f} at most (they are published with three digits)."
    )


def paper(table: pd.DataFrame) -> pd.DataFrame:
    """The ten published effects beside ours."""
    found = wide(table, SIX, ALL).loc[list(PUBLISHED)]
    beliefs = pd.Series({effect: belief for effect, (_, belief) in PUBLISHED.items()})
    columns = {
        "models": found["models"],
        "published": [f"{strength} {belief:.2f}" for strength, belief in PUBLISHED.values()],
        "here": [written(row) for _, row in found.iterrows()],
        "difference": (found["belief"] - beliefs).round(3),
    }
    return pd.DataFrame(columns).rename(index=name)


def reproduced(table: pd.DataFrame) -> str:
    """How many of the ten come out."""
    found = wide(table, SIX, ALL)
    same = [found.at[e, "intensity"] == strength for e, (strength, _) in PUBLISHED.items()]
    off = {e: abs(found.at[e, "belief"] - belief) for e, (_, belief) in PUBLISHED.items()}
    worst = max(off, key=off.__getitem__)
    return (
        f"{sum(same)} of {len(PUBLISHED)} intensities are the published ones; the beliefs differ "
        f"by {off[worst]:.3f} at most ({name(worst)})."
    )


def readings(table: pd.DataFrame, model: str, ways: Sequence[str]) -> str:
    """Where the two readings differ, over all ways of weighing."""
    differ, count = [], 0
    for way in _weighed(table, model, ways):
        b, a = (wide(table, model, way, reading) for reading in (None, READING_A))
        count += len(b)
        differ += [
            f"{name(e)} with {way}: {written(a.loc[e])} by (a), {written(b.loc[e])} by (b)"
            for e in b.index
            if a.at[e, "intensity"] != b.at[e, "intensity"]
        ]
    told = "; ".join(differ) if differ else "nowhere"
    return f"The readings differ in {len(differ)} of {count} syntheses: {told}."


def _weighed(table: pd.DataFrame, model: str, ways: Sequence[str]) -> list[str]:
    """Those of the ways in which this body of evidence was weighed."""
    there = weighed(table, model)
    return [way for way in ways if way in there]


def written(row: pd.Series) -> str:
    """`WP-PO .82` of a row of `evidence_records.wide`."""
    return f"{row['intensity']} {row['belief']:.2f}"


def counted(models: int) -> str:
    """`1 model`, `2 models`."""
    return f"{models:.0f} model{'' if models == 1 else 's'}"


def answer(table: pd.DataFrame, model: str = SIX) -> str:
    """Each effect's aggregated intensity in words, with the belief in it."""
    found = wide(table, model, ALL)
    return "\n".join(
        f"{name(effect)}: {intensity.in_words(intensity.parse(row['intensity']))}, belief "
        f"{row['belief']:.2f} from {counted(row['models'])}"
        for effect, row in found.iterrows()
    )


def conflict(table: pd.DataFrame) -> pd.DataFrame:
    """K of all models at once, the mean of two, and what the last step would have said."""
    found = conflicts(table, SIX)
    columns = {
        "models": wide(table, SIX, ALL)["models"],
        "K of all at once": found["all"].round(3),
        "mean K of two": found["pairwise"].round(3),
        "K of the last step, by order": [
            f"{row.last_low:.2f} to {row.last_high:.2f}" for row in found.itertuples()
        ],
    }
    return pd.DataFrame(columns).rename(index=name)


def robustness(table: pd.DataFrame, ways: Sequence[str], model: str = SIX) -> pd.DataFrame:
    """Intensity and belief by way of weighing, of the ten effects; `*` marks another intensity."""
    base, columns = wide(table, model, ALL), {}
    for way in _weighed(table, model, ways):
        found = wide(table, model, way)
        other = found["intensity"] != base["intensity"].reindex(found.index)
        told = {e: written(row) + "*" * bool(other[e]) for e, row in found.iterrows()}
        columns[way] = {name(e): told.get(e, "–") for e in PUBLISHED if e in base.index}
    return pd.DataFrame(columns)


def stays(table: pd.DataFrame, ways: Sequence[str], model: str = SIX) -> str:
    """For each effect in how many ways of weighing the intensity, and its sign, stay."""
    found = {way: wide(table, model, way) for way in _weighed(table, model, ways)}
    base, lines = found.pop(ALL), []
    for effect in (e for e in PUBLISHED if e in base.index):
        rows = [f.loc[effect] for f in found.values() if effect in f.index]
        side, strength = direction(base.loc[effect]), base.at[effect, "intensity"]
        same = sum(row["intensity"] == strength for row in rows)
        alike = sum(direction(row) == side for row in rows)
        lines.append(f"{name(effect)}: the same intensity in {same} of {len(rows)} other ways, "
                     f"the same direction ({side}) in {alike}.")  # fmt: skip
    return "\n".join(lines)


def direction(row: pd.Series) -> str:
    """`better`, `worse` or `none`: the side of the scale on which the intensity lies."""
    return "better" if row["high"] > 0 else "worse" if row["low"] < 0 else "none"


def one_each(table: pd.DataFrame) -> str:
    """What one model per study changes."""
    base, found = wide(table, SIX, ALL), wide(table, SIX, ONE_EACH)
    changed = [
        f"{name(e)} from {written(base.loc[e])} to {written(found.loc[e])}"
        for e in PUBLISHED
        if base.at[e, "intensity"] != found.at[e, "intensity"]
    ]
    return f"With one model per study {len(changed)} of ten change: {'; '.join(changed)}."


def one_run_outweighs(table: pd.DataFrame, effect: str) -> str:
    """Beliefs in the effect of the model with most runs and of the strongest with one run."""
    rows = table[table["effect"] == effect]
    single = rows[rows["runs"] == 1].nlargest(1, "belief")
    least = rows[rows["runs"] > 1].nsmallest(1, "belief").iloc[0]
    one = single.iloc[0]
    return (
        f"{name(effect)}: {least['study']} {least['configuration']}, {least['runs']} models with "
        f"an IQR of {least['iqr']:.1f} points, has a belief of {least['belief']:.3f}; "
        f"{one['study']} {one['configuration']}, a single run, has {one['belief']:.3f}."
    )


def largest_share(table: pd.DataFrame, effect: str) -> str:
    """Which study gives most of the models of an effect."""
    counts = table.loc[table["effect"] == effect, "study"].value_counts()
    return f"{counts.index[0]} supplies {counts.iloc[0]} of {counts.sum()} models of {name(effect)}"
