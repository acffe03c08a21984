"""What is recorded of variants of which only some layers are quantized, on made-up scores."""

import dataclasses

import numpy as np
import pytest
from tiny_llama import TASK, N, scores, variants

from qlab.core import records
from qlab.language import measure, outcomes

LAYERS = {"attention": ["a", "b", "c"], "MLP": ["d"], "first": ["a"], "last": ["d"]}
LOST = {"attention": -3.0, "MLP": -1.5, "first": -1.0, "last": -4.0}  # of each, before it is -1


def test_sides_are_compared_with_float_and_neighbours_with_each_other_on_the_same_passages():
    built = variants(["fp32", "gptq_w2_g64"])
    sided = {("gptq_w2_g64", s): dataclasses.replace(built["gptq_w2_g64"], name=f"x {s}", layers=())
             for s in LAYERS}  # fmt: skip
    right = np.arange(N) % 2  # rank 0 or 1
    found = {"fp32": scores(right)}
    found |= {f"x {side}": scores(right + (side == "last"), lost) for side, lost in LOST.items()}
    made = measure.part_records(TASK, built, sided, LAYERS, outcomes.table(TASK, found), 0)
    table = records.check(records.as_table(made), "here")
    assert set(table["variant"]) == {"gptq_w2_g64"} and set(table["condition"]) == {measure.SOME}
    loss = records.pick(table, "log_likelihood_difference").set_index("part")
    assert loss["value"].to_dict() == pytest.approx({s: lost + 1 for s, lost in LOST.items()})
    assert loss["k"].to_dict() == {side: len(layers) for side, layers in LAYERS.items()}
    acc = records.pick(table, "acc_difference").set_index("part")["value"]
    assert acc.to_dict() == pytest.approx({"attention": 0, "MLP": 0, "first": 0, "last": -0.5})
    against = records.pick(table, "part_difference").set_index("part")["value"].to_dict()
    assert against == pytest.approx({"attention minus MLP": -1.5, "first minus last": 3.0})
