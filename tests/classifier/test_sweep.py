"""Notebook 03's sweep: which points there are, and what comes back from the committed records."""

from types import SimpleNamespace

import numpy as np
import pytest
import qat_world

from qlab.classifier import sweep
from qlab.core import places, records

N, SAVED = 10, qat_world.SAVED_BYTES
TABLE = records.read(sweep.EXPERIMENT, sweep.LONG)
POINTS = places.points_table(TABLE)


@pytest.mark.parametrize("layers", [1, 3, 22])
def test_a_real_sweep_has_each_choice_once_and_its_seeds_in_turn(layers):
    found = sweep.seeded_sweep(layers, 3)
    assert len(set(found)) == len(found)
    assert not [p for p in found if p.where == "first" and p.k == layers]
    trained = [p for p in found if p.method == "qat"]
    assert [p.seed for p in trained] == sorted(p.seed for p in trained)
    assert {p.rounding for p in found if p.bits == 4 and p.k == layers} == {"", "mse", "octav"}
    assert layers < 22 or {p.k for p in trained if p.where == "first"} == {1, 6, 11, 16}


def test_the_long_sweep_has_each_choice_once_and_five_seeds_of_what_verdicts_hang_on():
    found = sweep.seeded_sweep(N, 3, long=True)
    assert len(set(found)) == len(found) == 27 * 2 * 4 + 3 * 3
    trained = [p for p in sweep.seeded_sweep(N, 5, long=True) if p.method == "qat"]
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


def test_the_planner_offers_every_k_that_was_covered_with_its_loss_and_size():
    layers, both = qat_world.parameters(N).astype(int), {}
    for where, slope, ks in (("first", 0.05, None), ("last", 0.02, [1, 2, 3, 5])):
        points = qat_world.curve(lambda x, b=slope: b * x, N, ks, where=where, noise=5e-4)
        both |= sweep.formulas(points.assign(method="qat"), N)
        [line] = [line for (end, _), (_, line) in both.items() if end == where]
        assert line.rvalue == pytest.approx(-1) and line.slope == pytest.approx(-SAVED)
    table = sweep.options(both, layers.tolist()).set_index(["where", "k"])
    assert len(table.loc["first"]) == N + 1 and list(table.loc["last"].index) == list(range(6))
    for (where, k), row in table.iterrows():
        share = np.sum(layers[:k] if where == "first" else layers[N - k :]) / np.sum(layers)
        assert row["size"] == pytest.approx(qat_world.FLOAT_BYTES - SAVED * share, abs=20)
        assert row["loss"] == both[where, 8][0].predict(k / N)[0][0] and row["bits"] == 8
        assert row["loss_low"] <= row["loss"] <= row["loss_high"]
        assert row["left_out"] == both[where, 8][0].left_out
    assert sweep.options({}, [1, 2]).empty
