"""What notebook 03 says, on the committed records of the long sweep."""

from types import SimpleNamespace

import pandas as pd
import pytest

from qlab.classifier import plots as figures
from qlab.classifier import sweep, words
from qlab.classifier.planner import plan
from qlab.core import places, records

N = 10


@pytest.fixture(scope="module")
def table():
    return records.read(sweep.EXPERIMENT, sweep.LONG)


@pytest.fixture(scope="module")
def points(table):
    return places.points_table(table)


def test_the_sweep_is_whole(table, points):
    """Every k from both ends and every layer alone, twice, in as many seeds as there are."""
    trained = points[points["method"] == "qat"]
    seeds = trained["seed"].nunique()
    assert len(trained) == 27 * 2 * seeds
    assert f"{len(trained)} points of QAT from {seeds} seeds" in words.about(table)


def test_verdicts_have_a_sentence_for_each_question_and_width(points):
    told = words.places(points, N)
    assert told.count("first minus last") == 10
    assert "PTQ, 8-bit weights" in told and "QAT, 4-bit weights" in told


def test_the_planner_keeps_its_budget(points):
    formulas = words.planner_formulas(sweep.formulas(points, N))
    assert {(f.where, f.bits) for f in formulas} == {
        (where, bits) for where in ("first", "last") for bits in (8, 4)
    }
    sizes = [432, 2304, 2304, 512, 4608, 9216, 2048, 18432, 36864, 640]
    found = plan(formulas, sizes, max_bytes=150_000)
    assert found.feasible and found.size.value <= 150_000


def test_a_run_is_compared_with_itself_without_a_difference(table):
    both = words.repeated(table, table)
    assert (both["loss_sweep"] == both["loss_here"]).all() and len(both) > 50


def test_other_steps_or_images_are_other_settings(table):
    steps = table["metric"] == "train_steps"
    assert sweep.same_settings(table, table)
    more = table.assign(value=table["value"].where(~steps, table["value"] + 1))
    assert not sweep.same_settings(table, more)
    assert not sweep.same_settings(table, table.assign(n=table["n"] + 1))


@pytest.mark.parametrize(
    "model, left, found",
    [
        ("resnet8_shapes32", (), True),
        ("resnet8_shapes32", ("dense",), False),
        ("resnet20_shapes32", (), False),
    ],
)
def test_the_committed_sweep_serves_its_own_model_with_all_layers(home, model, left, found):
    task = SimpleNamespace(
        model=model,
        dataset="shapes32",
        place="mini-x",
        leave_float=left,
        given=SimpleNamespace(sweep="short"),
    )
    assert (sweep.long_table(task) is not None) == found


def test_the_mean_of_equal_seeds_is_no_further_out_than_they():
    point = {"method": "qat", "bits": 4, "where": "only", "k": 2, "change": 0.2133}
    [drawn] = figures.over_seeds(pd.DataFrame([point] * 3), "change").to_dict("records")
    assert drawn["low"] <= drawn["mean"] <= drawn["high"] and drawn["seeds"] == 3
