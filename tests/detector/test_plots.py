"""Figures of a small table show what they say: no empty panel, no empty label, the right rows."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from tiny_coco import perfect

from qlab.core import corruptions, paths, records, stats
from qlab.detector import measure, plots

KERNELS = [metric for pair in plots.KERNELS.values() for metric in pair]


@pytest.fixture
def table(task, home, monkeypatch):
    """Records of a float parent, a good variant, a broken one, and one that saw fewer images."""
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    plt.close("all")
    work, _ = task
    answers = perfect(work)
    found = {"fp32": answers, "int8_selective": answers[1:], "int8_static": answers[::3]}
    found[measure.SLOW] = answers
    made = measure.accuracy_records(work, found, measure.score(work, found))
    for at, variant in enumerate(found, 1):
        made.append(measure.RECORD.counted(work, variant, "size_bytes", 1000 * at))
        for metric in KERNELS:
            parts = {"part": "CONV_2D"} if metric.startswith("operator") else {}
            estimate = stats.Estimate(10 * at, 9 * at, 12 * at, 5)
            one = measure.RECORD.estimated(work, variant, metric, estimate, device="x", **parts)
            made.append(one)
        for kind, strength in [plots.CLEAN, *((k, s) for k in corruptions.KINDS for s in (1, 2))]:
            for metric in ("ap", "ap_difference"):
                about = {"condition": kind, "strength": strength}
                estimate = stats.Estimate(0.5 / (1 + strength), 0.1, 0.5, 5)
                made.append(measure.RECORD.estimated(work, variant, metric, estimate, **about))
    return records.as_table(made)


FIGURES = {
    "centernet_pareto": lambda t: plots.pareto(t, "smoke", "m"),
    "centernet_operators": lambda t: plots.operators(t, "smoke"),
    "centernet_robustness": lambda t: plots.robustness(t, "smoke"),
    "by_iou": lambda t: plots.differences(t, "smoke", "by_iou", plots.OVERLAP_LABELS, "m"),
    "ap_area": lambda t: plots.differences(t, "smoke", "ap_area", plots.AREA_LABELS["ap"], "m"),
    "ar_area": lambda t: plots.differences(t, "smoke", "ar_area", plots.AREA_LABELS["ar"], "m"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_panel_and_no_label_is_empty(table, name):
    FIGURES[name](table)
    canvas = plt.gcf()
    canvas.canvas.draw()
    assert all(axis.has_data() for axis in canvas.axes)
    assert all(axis.get_title(loc="left") or axis.get_xlabel() for axis in canvas.axes)
    ticks = [*canvas.axes[0].get_yticklabels(), *canvas.axes[-1].get_xticklabels()]
    assert len(ticks) > 3 and any(t.get_text() for t in ticks)
    for legend in filter(None, [*canvas.legends, *(a.get_legend() for a in canvas.axes)]):
        said = [t.get_text() for t in legend.get_texts()]
        assert said and all(said) and len(set(said)) == len(said)
    assert len(drawn(name))


def drawn(name: str) -> pd.DataFrame:
    return pd.read_csv(paths.figures("smoke") / f"{name}.csv")


def test_differences_leave_out_the_broken_and_those_of_fewer_images(table):
    ap = plots.clean(table, "ap").set_index("variant")["value"]
    assert ap["int8_static"] < ap["fp32"] / 2 < ap["int8_selective"]
    for name in ("by_iou", "ap_area", "ar_area"):
        FIGURES[name](table)
        rows = drawn(name)
        assert set(rows["variant"]) == {"int8_selective"}, name
        assert rows["metric"].str.startswith(name[:2] if name != "by_iou" else "ap").all()
        axis = plt.gcf().axes[0]
        assert len(axis.get_xticks()) == len(rows)  # a place for each figure
        assert ("AR" if name == "ar_area" else "AP") in axis.get_ylabel()


def test_variants_of_a_figure_differ_in_look_and_readers_own_too(table):
    here = [v for v in plots.ORDER if v not in ("int8_dynamic_depthwise_fp32", "as_is")]
    for together in ([*here, "mine"], ["mine", "yours"]):  # no graph has both kinds of layers
        assert len({plots.look(v) for v in together}) == len(together)
    own = table.assign(variant=table["variant"].replace("int8_selective", "mine"))
    rows, (_, axis) = plots.clean(own, "ap_difference"), plt.subplots()
    plots.ladder(axis, rows, "+.2f", xlabel="AP")
    steps = [t.get_text() for t in axis.get_yticklabels()]
    assert steps == ["int8_static", "int16x8 (n=5)", "mine"]
    assert [t.get_text() for t in axis.texts] == [f"{v:+.2f}" for v in rows["value"]]


@pytest.mark.parametrize("name", ["centernet_operators", "by_iou"])
def test_without_a_parent_it_says_that_there_is_nothing(table, name, capsys):
    alone = table[(table["variant"] == "fp32") & ~table["metric"].str.startswith("operator")]
    FIGURES[name](alone)
    assert capsys.readouterr().out.startswith("Nothing to draw: ") and not plt.get_fignums()
