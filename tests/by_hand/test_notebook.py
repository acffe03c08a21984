"""What notebook 00 records, says, draws and asks, on its own layer."""

import re

import pytest
import shown

from qlab.by_hand import exercises, measure
from qlab.core import items, live, records, stats


@pytest.fixture(scope="module")
def ran(shared_home):
    """What all code cells leave behind at `smoke`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLAB_HOME", str(shared_home))
        names = vars(shown.run_until("00_", "items.write(", profile="smoke"))
        kept = items.read("by_hand", "smoke").set_index(["variant", "metric"])["value"]
    return names | {"kept": kept}


def test_every_interval_follows_from_the_items(ran):
    made, kept = records.check(records.as_table(ran["numbers"]), "here"), ran["kept"]
    drawn = stats.resamples(32, measure.DRAWS, seed=0)
    estimated = made["dataset"] == "shapes32"
    assert made[~estimated]["ci_low"].isna().all() and (made[~estimated]["n"] == 432).all()
    assert estimated.sum() == 45 and (made[estimated]["n"] == 32).all()
    for row in made[estimated].itertuples():
        if row.metric == "output_error":
            above, under = kept[row.variant, "error_energy"], kept["float", "energy"]
        else:
            above = kept[row.variant, "activation_error"]
            under = kept["a8_static", "activation_error"] if "ratio" in row.metric else above**0
        power = 0.5 if row.metric == "output_error" else 1
        value = (above.sum() / under.sum()) ** power
        samples = ((drawn @ above.to_numpy()) / (drawn @ under.to_numpy())) ** power
        found = (value, *stats.bootstrap_interval(samples, value))
        assert found == pytest.approx((row.value, row.ci_low, row.ci_high), rel=1e-12), row.variant


def test_what_calibrates_does_not_judge_and_a_dynamic_range_never_clips(ran):
    seen, judged = (
        {p.tobytes() for p in getattr(ran["world"], n)} for n in ("calibration", "test")
    )
    assert not seen & judged
    errors = ran["activations"]
    dark = errors["own_range"] < ran["static"] / 2
    assert dark.any() and (errors["dynamic"] < errors["static"] / 1.5)[dark].all()


def test_the_committed_records_are_the_ones_the_prose_speaks_of():
    table, text = records.read("by_hand", "mini"), shown.prose("00_")
    rows = records.pick(table, "output_error").set_index("variant")["value"]
    for name, share, words in (
        ("rtn_w3", 0.79, "the outputs are off by four fifths"),
        ("gptq_w3", 0.21, "make it a fifth with the same 3 bits"),
        ("rtn_w4", 0.27, "make outputs that are off by 27 %"),
        ("ste_w3", 0.25, "does it settle, near a quarter"),
    ):
        assert rows[f"{name}_sym_channel"] == pytest.approx(share, abs=0.01) and words in text
    rounded, chosen = (
        rows[[f"{m}_w{b}_sym_channel" for b in measure.BITS]] for m in ("rtn", "gptq")
    )
    gains = rounded.to_numpy() / chosen.to_numpy()
    assert min(gains) > 2.5 and max(gains) < 5 and "two and a half to five times" in text


@pytest.mark.parametrize("name", ["one_filter", "whole_layer"])
def test_each_slider_redraws(ran, name):
    box = live.follow(ran[name], ran[f"{name.split('_')[1]}_controls"])
    *controls, text, image = box.children
    for control in controls:
        before = text.value, image.value
        options = getattr(control, "options", None)
        control.value = options[options.index(control.value) - 1] if options else control.min
        assert text.value != before[0] and image.value != before[1], control.description


FIXED = {name: e for name, e in vars(exercises).items() if isinstance(e, exercises.Exercise)}


@pytest.mark.parametrize("name", [*FIXED, "bits", "clip"])
def test_an_exercise_knows_the_usual_mistakes(ran, name):
    """And the right answer is the one that the notebook computes: it printed all of them."""
    check, more = getattr(exercises, name), (ran["w"],) if name not in FIXED else ()
    mistakes = {"bits": [(6, "too much"), (8, "fewer bits would do")], "clip": [(1, "is possible")]}
    mistakes = check.mistakes if name in FIXED else mistakes[name]
    if name != "clip":  # of which a range is right
        mistakes = [*mistakes, ((1, 2, 3), "is not it. Think:"), ("x", "is not it. Think:")]
    assert check(None, *more).startswith("Not answered yet. Think: ")
    for wrong, told in mistakes:
        with pytest.raises(AssertionError, match=re.escape(told)):
            check(wrong, *more)
