"""What notebook 00 records, says, draws and asks, on its own layer."""

import base64
import re

import nbformat
import numpy as np
import pytest
from conftest import ROOT

from qlab.by_hand import data, exercises, measure, plots, widgets
from qlab.by_hand import grid as by_hand
from qlab.core import items, paths, records, stats

NOTEBOOK = ROOT / "notebooks" / "00_quantize_one_layer_by_hand.ipynb"
WEIGHT = data.first_layer("resnet8_shapes32").weight


@pytest.fixture(scope="module")
def world():
    return data.prepare(data.Parameters(profile="smoke"))


@pytest.fixture(scope="module")
def made(world):
    study = measure
    parts = (study.rounding_records, study.clipping_records, study.activation_records)
    numbers = [record for part in (*parts, study.method_records) for record in part(world)]
    return records.check(records.as_table(numbers), "here")


# Records


def test_every_interval_follows_from_the_items(made, world, home):
    items.write("by_hand", "smoke", measure.items(world))
    kept = items.read("by_hand", "smoke").set_index(["variant", "metric"])["value"]
    drawn = stats.resamples(len(world.test), measure.DRAWS, seed=0)
    energy = kept["float", "energy"].to_numpy()
    judged = made[made["dataset"] == "shapes32"]
    assert len(judged) == 45
    for row in judged.itertuples():
        if row.metric == "output_error":
            change = kept[row.variant, "error_energy"].to_numpy()
            value = np.sqrt(change.sum() / energy.sum())
            samples = np.sqrt((drawn @ change) / (drawn @ energy))
        else:
            error = kept[row.variant, "activation_error"].to_numpy()
            ratio = row.metric == "activation_error_ratio"
            base = kept["a8_static", "activation_error"] if ratio else np.ones_like(error)
            value, samples = error.sum() / base.sum(), (drawn @ error) / (drawn @ base)
        found = (value, *stats.bootstrap_interval(samples, value))
        assert found == pytest.approx((row.value, row.ci_low, row.ci_high), rel=1e-12), row.variant


def test_what_a_variant_is_stands_in_columns(made):
    for row in made[made["method"].notna()].itertuples():
        assert row.variant in [
            measure.named(row.method, row.bits, grid)
            for grid in (*measure.GRIDS, "sym_tensor_clipped")
        ]
    assert set(made[made["method"].isna()]["variant"]) == {"a8_static", "a8_dynamic"}


def test_every_estimate_has_its_interval_and_what_is_counted_has_none(made):
    estimated = made["dataset"] == "shapes32"
    assert (made[estimated]["ci_low"] < made[estimated]["value"]).all()
    assert (made[estimated]["ci_high"] > made[estimated]["value"]).all()
    assert (made[estimated]["n"] == 32).all()
    assert made[~estimated]["ci_low"].isna().all() and (made[~estimated]["n"] == 432).all()


def test_records_are_what_the_arithmetic_says(made, world):
    grid = by_hand.asymmetric(WEIGHT, 3, per_channel=True)
    back = by_hand.round_trip(WEIGHT, grid)
    row = made[made["variant"] == "rtn_w3_asym_channel"].set_index("metric")["value"]
    assert row["weight_error"] == pytest.approx(by_hand.weight_error(WEIGHT, back))
    moments = world.judged.mean(0)
    assert row["output_error"] == pytest.approx(by_hand.output_error(WEIGHT, back, moments))
    assert row["zero_share"] == np.mean(back == 0)


def test_what_calibrates_does_not_judge(world):
    images = {patches.tobytes() for patches in world.calibration}
    assert not images & {patches.tobytes() for patches in world.test}


def test_another_model_is_kept_in_a_place_of_its_own(world):
    other = data.prepare(data.Parameters(profile="smoke", model="resnet20_shapes32"))
    assert world.place == "smoke" and other.place.startswith("smoke-resnet20_shapes32-")
    assert other.inputs() != world.inputs()


def test_clipping_and_rounding_errors_make_up_the_whole():
    for clip, (rounding, clipping) in measure.clipping(WEIGHT, 3).items():
        back = by_hand.round_trip(WEIGHT, by_hand.symmetric(WEIGHT, 3, clip=clip))
        assert rounding + clipping == pytest.approx(by_hand.weight_error(WEIGHT, back) ** 2)
    assert clip == 1 and clipping == 0


def test_a_static_range_clips_what_lies_beyond_it_and_a_dynamic_one_never(world, monkeypatch):
    static, own, outputs = measure.ranges(world)
    assert own.shape == (32,) and outputs.min() == 0 and (outputs.max((1, 2)) == own).all()
    errors = measure.activation_errors(world)
    assert (errors["dynamic"] < errors["static"] / 1.5)[own < static / 2].all()
    monkeypatch.setattr(measure, "ranges", lambda _: (own.max() / 4, own, outputs))
    low = measure.activation_errors(world)
    assert np.array_equal(low["dynamic"], errors["dynamic"])
    assert (low["static"] > 5 * errors["static"])[own > own.max() / 2].all()


# Words


def test_the_committed_records_are_the_ones_the_prose_speaks_of():
    """Numbers that the notebook's text gives, read back from the records of `mini`."""
    table = records.read("by_hand", "mini")
    text = "\n".join(c.source for c in nbformat.read(NOTEBOOK, 4).cells).replace("\n", " ")
    found = {(r.variant, r.metric): r.value for r in table.itertuples()}
    for name, share, words in (
        ("rtn_w3", 0.79, "the outputs are off by four fifths"),
        ("gptq_w3", 0.21, "make it a fifth with the same 3 bits"),
        ("rtn_w4", 0.27, "make outputs that are off by 27 %"),
        ("ste_w3", 0.25, "does it settle, near a quarter"),
    ):
        value = found[f"{name}_sym_channel", "output_error"]
        assert value == pytest.approx(share, abs=0.01) and words in text
    gains = [
        found[f"rtn_w{b}_sym_channel", "output_error"]
        / found[f"gptq_w{b}_sym_channel", "output_error"]
        for b in measure.BITS
    ]
    assert min(gains) > 2.5 and max(gains) < 5 and "two and a half to five times" in text


# Figures and sliders


def test_every_figure_is_drawn_with_its_numbers(made, world, home):
    for figure in (plots.filters, plots.clipping):
        figure(world)
    plots.rounding(world, channel=12, bits=3, clip=0.7)
    for figure in (plots.error_by_bits, plots.methods):
        figure(made, world)
    names = {"filters", "clipping", "rounding", "error_by_bits", "methods"}
    assert {p.stem for p in paths.figures("smoke").glob("*.csv")} == {f"by_hand_{n}" for n in names}


@pytest.mark.parametrize("make", [widgets.staircase, widgets.layer])
def test_each_slider_redraws_and_a_still_picture_is_there(make, world):
    box = make(world)
    *controls, text, image = box.children
    still = box._repr_mimebundle_()
    assert base64.b64decode(still["image/png"]) == image.value
    assert still["text/plain"] == text.value
    for control in controls:
        before = text.value, image.value
        options = getattr(control, "options", None)
        control.value = options[options.index(control.value) - 1] if options else control.min
        assert text.value != before[0] and image.value != before[1], control.description


# Exercises

EXERCISES = {
    "scale": ((0.16, 6), {(0.15, 6): "15 steps", (0.16, 5.625): "must be an integer",
                          (0.214, 0): "symmetric grid", (1, 2, 3): "is not it", "x": "is not it"}),
    "size": (280, {216: "the scales are missing", 220: "one scale for the tensor",
                   496: "half a byte", 1000: "is not it"}),
    "bits": (7, {6: "too much", 8: "fewer bits would do", 6.5: "is not it"}),
    "clip": (0.44, {1: "steps are still too wide", 0.25: "clips too much", 1.5: "no share"}),
    "gradient": ((2, 0), {(0, 0): "calculus", (2, 2): "clipped", (2, 1): "does not depend",
                          (1, 1): "is not it"}),
    "second_weight": (0.8, {0.4: "what w1 lost", 1: "before", 0: "by itself", 3: "is not it"}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_knows_the_answer_and_the_usual_mistakes(name):
    right, mistakes = EXERCISES[name]
    check = getattr(exercises, name)
    more = (WEIGHT,) if name in ("bits", "clip") else ()
    assert check(None, *more).startswith("Not answered yet. Think: ")
    assert check(right, *more).startswith("Right. ")
    assert check(np.array(right, float), *more).startswith("Right. ")
    for wrong, told in mistakes.items():
        with pytest.raises(AssertionError, match=re.escape(told)):
            check(wrong, *more)


def test_every_exercise_waits_for_an_answer_and_its_solution_is_folded_and_checked():
    cells = nbformat.read(NOTEBOOK, 4).cells
    asked = [i for i, c in enumerate(cells) if c.source.startswith("answer = None")]
    solved = [i for i, c in enumerate(cells) if "solution" in c.metadata.get("tags", [])]
    assert [i + 1 for i in asked] == solved and len(asked) == len(EXERCISES)
    for place, number in zip(asked, range(1, 7), strict=True):
        name = re.search(r"exercise\.(\w+)\(answer", cells[place].source)[1]
        assert f"exercise.{name}(" in cells[place + 1].source and name in EXERCISES
        assert cells[place + 1].metadata.jupyter == {
            "source_hidden": True, "outputs_hidden": True,
        }  # fmt: skip
        assert f"**Exercise {number}.**" in cells[place - 1].source
