"""What the planner offers is what the formulas say, at every k that they cover."""

import numpy as np
import pytest
import qat_world

from qlab.classifier import sweep
from qlab.classifier.formulas import loss_formulas, size_line

N = 10
LAYERS = qat_world.parameters(N).astype(int).tolist()


def formulas(where: str, slope: float, ks=None) -> dict:
    points = qat_world.curve(lambda x: slope * x, N, ks, where=where, noise=5e-4)
    return {(where, 8): (loss_formulas(points, N)[where], size_line(points))}


def test_every_k_that_was_covered_is_offered_with_its_loss_and_size():
    both = formulas("first", 0.05) | formulas("last", 0.02, [1, 2, 3, 5])
    table = sweep.options(both, LAYERS).set_index(["where", "k"])
    assert len(table.loc["first"]) == N + 1 and list(table.loc["last"].index) == list(range(6))
    for (where, k), row in table.iterrows():
        share = np.sum(LAYERS[:k] if where == "first" else LAYERS[N - k :]) / np.sum(LAYERS)
        size = qat_world.FLOAT_BYTES - qat_world.SAVED_BYTES * share
        assert row["size"] == pytest.approx(size, abs=20) and row["bits"] == 8
        assert row["loss"] == both[where, 8][0].predict(k / N)[0][0]
        assert row["loss_low"] <= row["loss"] <= row["loss_high"]
        assert row["left_out"] == both[where, 8][0].left_out
    assert sweep.options({}, LAYERS).empty
