"""What notebook 03 says in words and tables, from records."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from qlab.classifier import answers as classification
from qlab.classifier import break_even as qat_break_even
from qlab.classifier import export, partial_qat
from qlab.classifier import planner as qat_planner
from qlab.classifier.data import Task
from qlab.classifier.planner import Formulas
from qlab.classifier.points import PARENT, Answer, Bench, Point
from qlab.classifier.sweep import POINTS, Fits, layers_of, same_settings
from qlab.core import places as qat_places
from qlab.core import records, stats, tflite_graph
from qlab.core.errors import QlabError
from qlab.core.places import each_alone, points_table
from qlab.core.records import interval, value
from qlab.core.stats import Estimate

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
    return f"accuracy on {len(task.test)} images of {task.dataset}: {'; '.join(told)}"


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


def left_float(table: pd.DataFrame, controls: Sequence[Point]) -> pd.DataFrame:
    """8-bit PTQ of all layers, and of all but what feeds the last, minus float in points."""
    wanted = [Point("ptq", "last", layers_of(table)), *controls]
    rows = records.pick(
        table, "accuracy_difference", variant=[p.variant for p in wanted], condition=None
    )
    told = [interval(row, "+.2f", POINTS) for _, row in rows.iterrows()]
    return pd.DataFrame({"variant": rows["variant"].to_list(), "minus float (points)": told})


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
    clean = table[table["condition"].isna()]
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
    return (
        f"{table['model'].iloc[0]}, {table['dataset'].iloc[0]}: {len(trained)} points of QAT from "
        f"{trained['seed'].nunique()} seeds, {len(found) - len(trained)} of PTQ, {n} test images"
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
    chosen = [("last", 1), ("first", 1), ("last", layers_of(table))]
    wanted = [Point("qat", *c, bits).variant for bits in partial_qat.BITS for c in chosen]
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
    parts = {
        "PTQ minus float": ("accuracy_difference", "ptq"),
        "QAT minus float": ("accuracy_difference", "qat"),
        "QAT minus float control": ("accuracy_minus_tuned", "qat"),
        "QAT from tfmot's ranges minus float": ("accuracy_difference", "qatcold"),
    }
    rows = []
    for bits in partial_qat.BITS:

        def of(metric: str, method: str, bits=bits) -> pd.Series:
            variant = Point(method, "last", layers_of(table), bits).variant
            return records.pick(table, metric, variant=variant, condition=None)["value"]

        row = {label: _over_seeds(of(*part)) for label, part in parts.items()}
        early, full = of("accuracy_equal_time", "qat"), of("accuracy_fake_quant", "qat")
        row["equal time minus equal epochs"] = _over_seeds(
            pd.Series(early.to_numpy() - full.to_numpy())
        )
        rows.append({"weights": f"{bits} bits"} | row)
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


def formulas(found: Fits) -> str:
    """Both formulas of each series with what speaks for them."""
    if not found:
        return NO_FORMULA
    told = []
    for (where, bits), pair in found.items():
        told.append(f"{where} k layers, {bits}-bit weights")
        told += [f"  {f.formula} ({f.name}, R² {f.r2:.2f}, n = {f.n})" for f in pair]
    return "\n".join(told)


def planner_formulas(found: Fits) -> list[Formulas]:
    """The formulas as the planner takes them."""
    return [Formulas(where, bits, *pair) for (where, bits), pair in found.items()]


def planner(found: Fits, sizes: Sequence[int]):
    """The planner's sliders, where there are formulas."""
    return qat_planner.widget(planner_formulas(found), sizes) if found else NO_FORMULA


def planned(found: Fits, sizes: Sequence[int], max_bytes: float) -> str:
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
    for variant in (PARENT, Point("qat", "last", layers_of(table)).variant):
        reckoned = value(table, variant, "network_step_analytic_bytes")
        counted = value(table, variant, "network_step_bytes")
        told.append(
            f"{variant} {counted:,.0f} bytes a step ({counted / reckoned - 1:+.1%} to the formula)"
        )
    return "; ".join(told)


def robustness(table: pd.DataFrame) -> pd.DataFrame:
    """Loss of each variant on clean images, and over all corruptions, in points."""
    rows = records.pick(table, "accuracy_difference")
    clean = rows["condition"].isna()
    good, bad = (one.groupby("variant", sort=False)["value"] for one in (rows[clean], rows[~clean]))
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
    variant = Point("qat", "last", layers_of(table)).variant
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
