"""Who hurts more, the first or the last layers: told apart from who is larger."""

import numpy as np
import pandas as pd
import pytest
import qat_world

from qlab.classifier import places
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record

N = 12


def verdicts(points: pd.DataFrame) -> list[places.Verdict]:
    return [judge(points, N) for judge in (places.by_share, places.by_depth)]


def swapped(points: pd.DataFrame) -> pd.DataFrame:
    """The same sweep of the network turned round."""
    other = points["where"].map({"first": "last", "last": "first", "only": "only"})
    k = points["k"].where(points["where"] != "only", N + 1 - points["k"])
    return points.assign(where=other, k=k)


def test_turning_the_network_round_flips_every_sign():
    points = qat_world.places(depth=0.02)
    for one, other in zip(verdicts(points), verdicts(swapped(points)), strict=True):
        if "equal share" in one.test:  # its points come from the other curve
            assert other.difference.value < 0
        else:
            assert other.difference.value == pytest.approx(-one.difference.value)
            assert other.p_value == pytest.approx(one.p_value)
        assert one.difference.low > 0 > other.difference.high
        assert max(one.p_value, other.p_value) < 0.05


def test_size_alone_does_not_move_the_layer_at_equal_size():
    """Larger layers cost more and lie behind."""
    depth = places.by_depth(qat_world.places(depth=0.0, size=0.003), N)
    assert 0 < depth.detectable < 0.02
    assert depth.p_value > 0.05
    still = places.by_share(qat_world.places(depth=0.02, noise=0.0), N)
    assert np.isnan(still.p_value)


def test_the_coefficient_of_depth_is_the_truth():
    found = places.by_depth(qat_world.places(depth=0.02, size=0.003), N).difference
    assert found.value == pytest.approx(0.02, abs=0.003) and found.low < 0.02 < found.high


def test_an_effect_of_the_detectable_size_is_seen_four_times_in_five():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (400, 12))
    seen = [places._t_test(v + places._detectable(v)) < 0.05 for v in values]
    assert 0.72 < np.mean(seen) < 0.9


GOOD = qat_world.places(depth=0.0)


@pytest.mark.parametrize(
    ("verdict", "points", "sentence"),
    [
        (places.by_depth, GOOD[GOOD["k"] <= 5], "at least 6 of them.*found 5"),
        (places.by_depth, GOOD.assign(share=0.0), "above 0; found 0"),
        (places.by_share, GOOD[GOOD["seed"] == 0], "at least 2 seeds.*found 1"),
    ],
)
def test_sweeps_that_cannot_be_judged_are_refused(verdict, points, sentence):
    with pytest.raises(QlabError, match=sentence):
        verdict(points, N)


def test_a_sweeps_records_become_points_by_their_columns():
    """Shares and sizes are those of the same variant; worse data and the parent are no points."""
    names = ["method", "where", "k", "bits", "seed"]
    given, rows = [], {"p": ["qat", "last", 2, 8, 1], "q": ["ptq", "first", 1, 4, 0], "fp32": []}
    for variant, row in rows.items():
        about = dict(zip(names, row, strict=False))
        of = ("e", "m", "d", variant)
        values = {"accuracy_difference": -0.25, "size_bytes": 100.0, "quantized_share": 0.5}
        given += [Record(*of, m, v, "1", -0.5, 0.0, **about) for m, v in values.items()]
        worse = about | {"condition": "blur", "strength": 1}
        given.append(Record(*of, "accuracy_difference", -0.9, "1", **worse))
    found = places.points_table(records.as_table(given))
    assert found[names].to_numpy().tolist() == [rows["p"], rows["q"]]
    assert found[["share", "loss", "size_bytes"]].to_numpy().tolist() == [[0.5, 0.25, 100]] * 2
    assert found["loss_se"].tolist() == pytest.approx([0.5 / (2 * 1.96)] * 2, rel=1e-4)
