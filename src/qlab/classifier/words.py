"""What notebook 03 says in words and tables, from records."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from qlab.classifier import answers as classification
from qlab.classifier import break_even as qat_break_even
from qlab.classifier import export, partial_qat
from qlab.classifier import planner as qat_planner
from qlab.classifier.data import Task
from qlab.classifier.formulas import Fit
from qlab.classifier.planner import Formulas
from qlab.classifier.points import Answer, Bench, Point
from qlab.classifier.sweep import (
    PARENT,
    POINTS,
    same_settings,
)
from qlab.classifier.table import each_alone, on_clean_images, points_table
from qlab.core import places as qat_places
from qlab.core import records, stats, tflite_graph
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate
from qlab.core.words import interval, value

NO_FORMULA = "This sweep has too few values of k for a formula; sweep='long' has all of them."


def layers(bench: Bench) -> pd.DataFrame:
    """The layers with weights, from the input: their kind, shape and share of all weights."""
    sizes = partial_qat.parameters(bench.model, bench.layers)
    rows = [
        {
            "layer": name,
            "kind": type(bench.model.get_layer(name)).__name__,
            "kernel": "×".join(map(str, bench.model.get_layer(name).weights[0].shape)),
            "weights": sizes[name],
            "share": f"{sizes[name] / sum(sizes.values()):.1%}",
        }
        for name in bench.layers
    ]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="number"))


def float_accuracy(task: Task, parent: Answer) -> str:
    """The float model's accuracy by Keras and by its file."""
    told = []
    for kind, name in (("float", "Keras"), ("tflite", "the float32 .tflite")):
        hits = classification.correct(parent.probabilities[kind], task.test.labels)
        e = stats.proportion(int(hits.sum()), len(hits))
        told.append(f"{name} {e.value:.4f} [{e.low:.4f}, {e.high:.4f}]")
    of = f"{len(task.test)} {task.test.noun}s of {task.dataset}"
    return f"accuracy on {of}: {'; '.join([*told, *task.notes])}"


def weight_types(bench: Bench, answers: Mapping[Point, Answer]) -> pd.DataFrame:
    """Data type of each layer's weights in the file of each point, a row per point."""
    rows = {
        point.variant: export.weight_types(answer.file, bench.layers)
        for point, answer in answers.items()
        if answer.file and point.seed == 0
    }
    return pd.DataFrame(rows).T


def pooling(bench: Bench, answers: Mapping[Point, Answer]) -> pd.DataFrame:
    """The step between two codes of what the last layer reads, where all layers have 8 bits."""
    last = bench.layers[-1]
    rows = []
    for point, answer in answers.items():
        if answer.file and (point.k, point.bits, point.seed) == (len(bench.layers), 8, 0):
            read = export.operators_of(answer.file, [last])[last].inputs[0]
            step = tflite_graph.tensor_scales(answer.file)[read]
            rows.append(
                {"variant": point.variant, f"one step at the input of {last}": round(step, 4)}
            )
    return pd.DataFrame(rows)


def left_float(table: pd.DataFrame) -> pd.DataFrame:
    """8-bit PTQ of all layers, and of all but what feeds the last, minus float in points."""
    rows = records.pick(on_clean_images(table), "accuracy_difference")
    whole = int(points_table(table)["k"].max())
    wanted = rows["variant"].str.contains(rf"^ptq_w8a8_last{whole}$|_but_")
    return pd.DataFrame(
        {
            "variant": row["variant"],
            "minus float (points)": interval(row, "+.2f", POINTS),
        }
        for _, row in rows[wanted].iterrows()
    )


def parts(table: pd.DataFrame) -> pd.DataFrame | str:
    """A transformer's attention quantized, or its feed-forward networks, minus float in points."""
    kinds = "|".join(partial_qat.PARTS)
    rows = records.pick(on_clean_images(table), "accuracy_difference")
    named = rows["variant"].str.extract(rf"^(qat|ptq)_w(\d)a8_({kinds})(\d+)$")
    rows = rows[named[0].notna()]
    if rows.empty:
        return "This network has no attention to quantize by itself."
    shares = records.pick(table, "quantized_share").set_index("variant")["value"]
    return pd.DataFrame(
        {
            "variant": variant,
            "of the weights": f"{shares[variant]:.0%}",
            "minus float (points)": _over_seeds(one["value"]),
        }
        for variant, one in rows.groupby("variant", sort=False)
    )


def memory(table: pd.DataFrame) -> pd.DataFrame | str:
    """Peak memory of a process that fine-tunes, in MB, and what each has more than float."""
    rows = records.pick(table, "train_peak_memory_bytes").set_index("variant")["value"] / 1e6
    if rows.empty:
        return "Peak memory of fine-tuning is measured by sweep='long'; here it was not."
    more = rows - rows["fp32_tuned"]
    return pd.DataFrame({"peak MB": rows.round(0), "more than float": more.round(0)}).reset_index()


def points(table: pd.DataFrame) -> pd.DataFrame:
    """What each point of a table of records costs and brings, in words."""
    rows = []
    clean = on_clean_images(table)
    for (variant, seed), one in clean.groupby(["variant", "seed"], sort=False, dropna=False):
        known = one.set_index("metric")
        if "accuracy" in known.index:
            named = {"variant": variant, "seed": "" if pd.isna(seed) else int(seed)}
            rows.append(named | _costs(known))
    return pd.DataFrame(rows)


def _costs(known: pd.DataFrame) -> dict[str, str]:
    def told(metric: str, form: str, scale: float = 1.0) -> str:
        if metric not in known.index:
            return ""
        return interval(known.loc[metric], form, scale)

    return {
        "accuracy": told("accuracy", ".4f"),
        "minus float (points)": told("accuracy_difference", "+.2f", POINTS),
        "calibration error": told("calibration_error", ".3f"),
        "bytes": told("size_bytes", ",.0f"),
        "step / float's": told("train_step_ratio", ".2f"),
    }


def about(table: pd.DataFrame) -> str:
    """How large a sweep is, and of which model."""
    found = points_table(table)
    trained = found[found["method"] == "qat"]
    n = int(records.pick(table, "accuracy_difference")["n"].max())
    noun = records.pick(table, "flips_lost")["unit"].iloc[0]
    return (
        f"{table['model'].iloc[0]}, {table['dataset'].iloc[0]}: {len(trained)} points of QAT from "
        f"{trained['seed'].nunique()} seeds, {len(found) - len(trained)} of PTQ, {n} test {noun}s"
    )


def repeated(whole: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame | str:
    """Points that both the sweep and this run have: the losses side by side, in points."""
    if not same_settings(whole, here):
        return "This run has other settings than the sweep: its points are not drawn."
    keys = ["method", "where", "k", "bits", "seed"]
    both = points_table(whole).merge(points_table(here), on=keys, suffixes=("_sweep", "_here"))
    both = both[both["method"] == "qat"]
    for column in ("loss_sweep", "loss_here"):
        both[column] = (both[column] * POINTS).round(2)
    return both[[*keys, "loss_sweep", "loss_here"]].reset_index(drop=True)


def step_times(table: pd.DataFrame) -> pd.DataFrame:
    """Step time over float's for the last layer, the first, and all, the median over seeds."""
    rows = records.pick(table, "train_step_ratio")
    found = points_table(table)
    whole = int(found["k"].max())
    wanted = [
        f"qat_w{b}a8_{w}" for b in partial_qat.BITS for w in ("last1", "first1", f"last{whole}")
    ]
    told = [
        {
            "variant": v,
            "step / float's": f"{one['value'].median():.2f}",
            "lowest and highest": f"{one['value'].min():.2f} to {one['value'].max():.2f}",
            "seeds": len(one),
        }
        for v in wanted
        if len(one := rows[rows["variant"] == v])
    ]
    return pd.DataFrame(told)


def controls(table: pd.DataFrame) -> pd.DataFrame:
    """QAT with all layers against its controls, in points of accuracy, means over seeds."""
    whole = int(points_table(table)["k"].max())
    clean = on_clean_images(table)
    rows = []
    for bits in partial_qat.BITS:
        name = f"w{bits}a8_last{whole}"
        parts = {
            "PTQ minus float": ("accuracy_difference", f"ptq_{name}"),
            "QAT minus float": ("accuracy_difference", f"qat_{name}"),
            "QAT minus float control": ("accuracy_minus_tuned", f"qat_{name}"),
            "QAT from tfmot's ranges minus float": ("accuracy_difference", f"qatcold_{name}"),
        }
        row = {"weights": f"{bits} bits"}
        for label, (metric, variant) in parts.items():
            row[label] = _over_seeds(records.pick(clean, metric, variant=variant)["value"])
        early = records.pick(table, "accuracy_equal_time", variant=f"qat_{name}")["value"]
        full = records.pick(table, "accuracy_fake_quant", variant=f"qat_{name}")["value"]
        row["equal time minus equal epochs"] = _over_seeds(
            pd.Series(early.to_numpy() - full.to_numpy())
        )
        rows.append(row)
    return pd.DataFrame(rows)


def _over_seeds(values: pd.Series) -> str:
    """Mean of some shares in points, with the lowest and the highest."""
    points = values * POINTS
    if not len(points):
        return "not run"
    spread = f" ({points.min():+.2f} to {points.max():+.2f})" if len(points) > 1 else ""
    return f"{points.mean():+.2f}{spread}"


def places(found: pd.DataFrame, count: int) -> str:
    """The verdicts on first against last layers, a paragraph for each method and bit width."""
    told = []
    series = found[found["where"] != "only"]
    whole = pd.concat([series, each_alone(found, count)], ignore_index=True)
    for method, bits in (("ptq", 8), ("ptq", 4), ("qat", 8), ("qat", 4)):
        one = whole[(whole["method"] == method) & (whole["bits"] == bits)]
        judges = [qat_places.by_number, qat_places.by_share, qat_places.by_depth]
        if one["seed"].nunique() < 2:  # shares are compared over seeds, and PTQ has none
            judges.remove(qat_places.by_share)
        sentences = [_judged(judge, one, count) for judge in judges]
        told.append("\n".join([f"{method.upper()}, {bits}-bit weights", *sentences]))
    return "\n\n".join(told)


def _judged(judge, points: pd.DataFrame, count: int) -> str:
    """A verdict's sentence, or why there is none."""
    try:
        return judge(points, count).sentence
    except QlabError as error:
        return f"Not judged: {error}"


def formulas(found: Mapping[tuple[str, int], tuple[Fit, Fit]]) -> str:
    """Both formulas of each series with what speaks for them."""
    if not found:
        return NO_FORMULA
    told = []
    for (where, bits), pair in found.items():
        told.append(f"{where} k layers, {bits}-bit weights")
        told += [f"  {f.formula} ({f.name}, R² {f.r2:.2f}, n = {f.n})" for f in pair]
    return "\n".join(told)


def planner_formulas(found: Mapping[tuple[str, int], tuple[Fit, Fit]]) -> list[Formulas]:
    """The formulas as the planner takes them."""
    return [Formulas(where, bits, *pair) for (where, bits), pair in found.items()]


def planner(found: Mapping[tuple[str, int], tuple[Fit, Fit]], sizes: Sequence[int]):
    """The planner's sliders, where there are formulas."""
    return qat_planner.widget(planner_formulas(found), sizes) if found else NO_FORMULA


def planned(
    found: Mapping[tuple[str, int], tuple[Fit, Fit]], sizes: Sequence[int], max_bytes: float
) -> str:
    """What the planner says for a byte budget, where there are formulas."""
    if not found:
        return NO_FORMULA
    return qat_planner.describe(qat_planner.plan(planner_formulas(found), sizes, max_bytes))


def network(table: pd.DataFrame) -> str:
    """What the workers sent for the float model and for the one with all layers quantized."""
    rows = records.pick(table, "network_step_bytes")
    if rows.empty:
        return "The network was not measured in this sweep; sweep='long' does."
    told = []
    whole = int(points_table(table)["k"].max())
    for variant in (PARENT, f"qat_w8a8_last{whole}"):
        reckoned = value(table, variant, "network_step_analytic_bytes")
        counted = value(table, variant, "network_step_bytes")
        told.append(
            f"{variant} {counted:,.0f} bytes a step ({counted / reckoned - 1:+.1%} to the formula)"
        )
    return "; ".join(told)


def robustness(table: pd.DataFrame) -> pd.DataFrame:
    """Loss of each variant on clean images, and over all corruptions, in points."""
    clean = on_clean_images(table)
    good, bad = (
        records.pick(rows, "accuracy_difference").groupby("variant", sort=False)["value"]
        for rows in (clean, table.drop(clean.index))
    )
    good, bad = good.first() * POINTS, bad.agg(["mean", "min"]) * POINTS
    return pd.DataFrame(
        {
            "clean": good.reindex(bad.index).map("{:+.2f}".format),
            "mean of the corruptions": bad["mean"].map("{:+.2f}".format),
            "worst": bad["min"].map("{:+.2f}".format),
        }
    )


def break_even(table: pd.DataFrame) -> str:
    """After how many images the fine-tuning of all layers has paid for itself."""
    whole = int(points_table(table)["k"].max())
    variant = f"qat_w8a8_last{whole}"
    spent = value(table, variant, "train_seconds")
    if spent is None:
        return "No model with all layers quantized was trained here; profile='mini' does."
    latencies = records.pick(table, "latency_ms_p50").set_index("variant")
    before, after = (
        Estimate(*(latencies.loc[v, ["value", "ci_low", "ci_high"]].astype(float) / 1e3), 1)
        for v in (PARENT, variant)
    )
    found = qat_break_even.break_even(Estimate(spent, np.nan, np.nan, 1), before, after)
    return found.sentence
