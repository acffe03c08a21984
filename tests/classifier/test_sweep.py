"""Notebook 03's sweep: which points there are, and what comes back from the committed records."""

from types import SimpleNamespace

import pytest

from qlab.classifier import sweep
from qlab.core import places, records

N = 10
TABLE = records.read(sweep.EXPERIMENT, sweep.LONG)
POINTS = places.points_table(TABLE)


def test_the_long_sweep_has_each_choice_once_and_five_seeds_of_what_verdicts_hang_on():
    found = sweep.seeded_sweep(N, 3, long=True)
    assert len(set(found)) == len(found) == 27 * 2 * 4 + 3 * 3
    trained = [p for p in sweep.seeded_sweep(N, 5, long=True) if p.method == "qat"]
    assert [p.seed for p in trained] == sorted(p.seed for p in trained)
    assert sum((p.where, p.bits, p.seed) == ("only", 8, 0) for p in trained) == 8
    often = {(p.where, p.k) for p in trained if p.seed == 4}
    assert often == {(where, k) for where in ("last", "first") for k in (1, 2, 5)} | {("last", N)}
    assert len([p for p in trained if p.seed == 2]) == 27 * 2


def test_the_committed_sweep_is_whole():
    """Every k from both ends and every layer alone, twice, in the seeds that it should have."""
    trained = POINTS[POINTS["method"] == "qat"]
    wanted = [p for p in sweep.seeded_sweep(N, sweep.SEEDS["long"], long=True) if p.method == "qat"]
    columns = [trained[c] for c in ("where", "k", "bits", "seed")]
    assert sorted(zip(*columns, strict=True)) == sorted(
        (p.where, p.k, p.bits, p.seed) for p in wanted
    )


def test_other_steps_or_images_are_other_settings():
    steps = TABLE["metric"] == "train_steps"
    assert sweep.same_settings(TABLE, TABLE)
    more = TABLE.assign(value=TABLE["value"].where(~steps, TABLE["value"] + 1))
    assert not sweep.same_settings(TABLE, more)
    assert not sweep.same_settings(TABLE, TABLE.assign(n=TABLE["n"] + 1))


@pytest.mark.parametrize(
    "model, left, found",
    [("resnet8_shapes32", (), 1), ("resnet8_shapes32", ("a",), 0), ("resnet20_shapes32", (), 0)],
)
def test_the_committed_sweep_serves_its_own_model_with_all_layers(home, model, left, found):
    about = {"dataset": "shapes32", "place": "mini-x", "given": SimpleNamespace(sweep="short")}
    task = SimpleNamespace(model=model, leave_float=left, **about)
    assert (sweep.long_table(task) is not None) == found
