"""Who hurts more, the first or the last layers: told apart from who is larger."""

import numpy as np
import pandas as pd
import pytest
import qat_world

from qlab.core import places
from qlab.core.errors import QlabError

N = 12


def verdicts(points: pd.DataFrame) -> list[places.Verdict]:
    thirds = places.by_thirds(points, N)
    return [
        places.by_number(points, N),
        places.by_share(points, N),
        places.by_depth(points, N),
        thirds.verdict,
    ]


def swapped(points: pd.DataFrame) -> pd.DataFrame:
    """The same sweep of the network turned round."""
    other = points["where"].map({"first": "last", "last": "first", "only": "only"})
    k = points["k"].where(points["where"] != "only", N + 1 - points["k"])
    return points.assign(where=other, k=k)


def test_every_comparison_sees_first_layers_that_hurt_more():
    for verdict in verdicts(qat_world.places(depth=0.02)):
        assert verdict.words == "first hurts more", verdict.sentence
        assert verdict.difference.low > 0


def test_turning_the_network_round_flips_every_sign():
    points = qat_world.places(depth=0.02)
    for one, other in zip(verdicts(points), verdicts(swapped(points)), strict=True):
        if "equal share" in one.method:  # its points come from the other curve
            assert other.difference.value < 0
        else:
            assert other.difference.value == pytest.approx(-one.difference.value)
            assert other.p_value == pytest.approx(one.p_value)
        assert other.words == "last hurts more"


def test_size_alone_moves_the_count_but_not_the_layer_at_equal_size():
    """Larger layers cost more and lie behind: "last hurts more" only for equally many layers."""
    points = qat_world.places(depth=0.0, size=0.003)
    number, _, depth, thirds = verdicts(points)
    assert number.words == "last hurts more"
    for verdict in (depth, thirds):
        assert verdict.words.startswith("no difference seen (a difference of"), verdict.sentence
        assert 0 < verdict.detectable < 0.02


def test_the_coefficient_of_depth_is_the_truth():
    found = places.by_depth(qat_world.places(depth=0.02, size=0.003), N).difference
    assert found.value == pytest.approx(0.02, abs=0.003) and found.low < 0.02 < found.high


def test_no_effect_is_seldom_seen():
    equal = [qat_world.places(0, seed=s) for s in range(10)]
    seen = [
        "hurts more" in verdict(points, N).words
        for points in equal
        for verdict in (places.by_number, places.by_depth)
    ]
    assert sum(seen) <= 3  # 1 expected of 20


def test_an_effect_of_the_detectable_size_is_seen_four_times_in_five():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (400, 12))
    seen = [places._t_test(v + places._detectable(v)) < 0.05 for v in values]
    assert 0.72 < np.mean(seen) < 0.9


def test_the_sign_flip_test_is_exact_where_small():
    assert places._sign_flip(np.array([1.0, 2, 3, 4, 5, 6])) == pytest.approx(2 / 2**6)
    points = qat_world.places(depth=0.5)
    few = points[points["k"].isin([2]) | (points["where"] == "only")]
    verdict = places.by_number(few, N)
    assert verdict.p_value == pytest.approx(0.25)
    assert verdict.words == "no difference seen (none could have been: 3 are too few)"


def test_the_whole_network_is_no_pair():
    points = qat_world.places(depth=0.02)
    assert places.each_number(points, N)["k"].tolist() == list(range(1, N))
    only_whole = points[points["k"] == N]
    with pytest.raises(QlabError, match="No k between 1 and N - 1 was run both"):
        places.by_number(only_whole, N)


def test_many_k_are_allowed_for():
    table = places.each_number(qat_world.places(depth=0.02), N)
    assert (table["p_holm"] >= table["p"]).all() and table["p_holm"].min() < 0.05
    one_seed = places.each_number(qat_world.places(depth=0.02).query("seed == 0"), N)
    assert one_seed[["p", "p_holm", "low"]].isna().all(axis=None)


def test_thirds_are_adjusted_to_one_size():
    thirds = places.by_thirds(qat_world.places(depth=0.02, size=0.003), N)
    assert thirds.means["third"].tolist() == ["first", "middle", "last"]
    assert thirds.means["layers"].tolist() == [4, 4, 4]
    assert thirds.means["loss"].is_monotonic_decreasing and thirds.p_value < 0.01


def test_runs_without_any_scatter_are_not_judged():
    points = qat_world.places(depth=0.02, noise=0.0)
    assert places.by_share(points, N).words.startswith("not judged")


GOOD = qat_world.places(depth=0.0)


@pytest.mark.parametrize(
    ("verdict", "points", "sentence"),
    [
        (places.by_number, GOOD.drop(columns="seed"), "lack the column 'seed'"),
        (places.by_depth, GOOD.assign(bits=[4, 8] * (len(GOOD) // 2)), "found .4, 8.. Select"),
        (places.by_depth, GOOD[GOOD["k"] <= 5], "at least 6 of them.*found 5"),
        (places.by_thirds, GOOD[GOOD["k"] <= 6], "third of the network has no layer"),
        (places.by_depth, GOOD.assign(share=0.0), "has a share of 0"),
        (places.by_share, GOOD[GOOD["seed"] == 0], "at least 2 seeds.*found 1"),
    ],
)
def test_sweeps_that_cannot_be_judged_are_refused(verdict, points, sentence):
    with pytest.raises(QlabError, match=sentence):
        verdict(points, N)
