"""Notebook 03's sweep: which points there are, and what comes back from the committed records."""

from types import SimpleNamespace

import committed
import numpy as np
import pytest
import qat_world

from qlab.classifier import sweep
from qlab.core import records

N, SAVED = 10, qat_world.SAVED_BYTES
TABLE = committed.table(sweep.EXPERIMENT, sweep.LONG)


@pytest.mark.parametrize(("place", "layers"), [(sweep.LONG, N), ("small", 22)])
def test_a_committed_sweep_has_just_the_points_and_seeds_that_it_should_have(place, layers):
    how = "long" if place == sweep.LONG else "short"
    wanted = sweep.seeded_sweep(layers, sweep.SEEDS[how], how == "long")
    seeds = [p.seed for p in wanted if p.method != "ptq"]
    assert seeds == sorted(seeds)  # one after the other
    table = records.pick(committed.table(sweep.EXPERIMENT, place), "accuracy", condition=None)
    table = table[~table["variant"].str.contains("^fp32$|_raw_")]
    found = zip(table["variant"], table["seed"].fillna(0), strict=True)
    assert sorted(found) == sorted((p.variant, p.seed) for p in wanted)


def test_other_steps_or_images_are_other_settings():
    steps = TABLE["metric"] == "train_steps"
    assert sweep.same_settings(TABLE, TABLE)
    more = TABLE.assign(value=TABLE["value"].where(~steps, TABLE["value"] + 1))
    assert not sweep.same_settings(TABLE, more)
    assert not sweep.same_settings(TABLE, TABLE.assign(n=TABLE["n"] + 1))


def test_the_committed_sweep_serves_its_own_model_with_all_layers(home):
    about = {"dataset": "shapes32", "place": "mini-x", "given": SimpleNamespace(sweep="short")}
    for name, left, found in (("8", (), True), ("8", ("a",), False), ("20", (), False)):
        task = SimpleNamespace(model=f"resnet{name}_shapes32", leave_float=left, **about)
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
