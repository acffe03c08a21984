"""Two runs compared: what is equal, what differs, what got worse; and what is measured at all."""

import dataclasses

import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from qlab.claims import claims
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.run import cli, metrics
from qlab.run.compare import KINDS, compare, load


def one(metric="accuracy", value=0.9, low=None, high=None, unit="1", **more) -> Record:
    about = {"experiment": "e", "model": "m", "dataset": "d", "variant": "v", "n": 100} | more
    return Record(**about, metric=metric, value=value, unit=unit, ci_low=low, ci_high=high)


def kinds(a: list[Record], b: list[Record], **more) -> list[str]:
    return list(compare(records.as_table(a), records.as_table(b), **more).table["kind"])


def kind(a: Record, b: Record, **more) -> str:
    return kinds([a], [b], **more)[0]


@pytest.fixture(scope="module")
def committed() -> pd.DataFrame:
    return load(ROOT, "mini")


def test_a_run_is_equal_to_itself(committed):
    found = compare(committed, committed)
    assert found.passes() and found.passes(regressions_only=True)
    assert len(found.table) == len(committed)
    assert set(found.table.loc[found.table["deterministic"], "kind"]) == {"equal"}
    assert set(found.table["kind"]) == {"equal", "within", "unjudged"}


@pytest.mark.parametrize(
    ("metric", "other", "found"),
    [
        ("size_bytes", 290003, "improved"),  # counted: any other number is another
        ("size_gzip_bytes", 290003, "equal"),  # follows floats' last digits
        ("size_gzip_bytes", 289000, "improved"),
    ],
)
def test_bytes_are_exact_those_of_compressed_files_nearly(metric, other, found):
    a, b = (one(metric, value, unit="byte") for value in (290006, other))
    assert kind(a, b) == found


def test_what_one_side_lacks_the_other_side_lacks_when_they_change_places(committed):
    some = committed.iloc[5:]
    less, more = compare(some, committed), compare(committed, some)
    assert len(less.of("only in B")) == len(more.of("only in A")) == 5
    assert not less.passes() and not more.passes()
    assert less.passes(regressions_only=True)


WORSE = st.tuples(st.floats(0.01, 10), st.floats(0.001, 1), st.floats(0.001, 1), st.floats(1e-3, 9))


@given(WORSE, st.sampled_from(["accuracy", "latency_ratio"]))
def test_a_regression_one_way_is_an_improvement_the_other_way(drawn, metric):
    value, below, above, gap = drawn
    first = one(metric, value, value - below, value + above)
    further = value + above + below + gap
    second = one(metric, further, further - below, further + above)
    up, down = ("improved", "regressed") if metric == "accuracy" else ("regressed", "improved")
    assert kind(first, second) == up
    assert kind(second, first) == down


@given(st.floats(0, 1), st.floats(0, 1))
def test_noise_within_the_intervals_is_no_regression(a, b):
    """Both intervals hold 0.5, so they meet, wherever the values lie in them."""
    first, second = (one("latency_ratio", v, min(v, 0.5), max(v, 0.5)) for v in (a, b))
    assert kind(first, second) == "within"


def test_meeting_ends_are_no_regression_and_a_hair_further_is():
    a = one("tokens_per_s_ratio", 0.9, 0.8, 1.0)
    assert kind(a, one("tokens_per_s_ratio", 0.7, 0.6, 0.8)) == "within"
    assert kind(a, one("tokens_per_s_ratio", 0.7, 0.6, 0.7999)) == "regressed"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # Deterministic floats: to the tolerance; counts: exactly.
        (one(value=0.9), one(value=0.9 + 1e-7), "equal"),
        (one(value=0.9), one(value=0.9 - 1e-5), "regressed"),
        (one(value=0.9, low=0.8, high=0.95), one(value=0.89, low=0.79, high=0.94), "different"),
        (one("mcnemar_p", 1e-50), one("mcnemar_p", 1e-40), "equal"),
        (one("mcnemar_p", 0.5), one("mcnemar_p", 0.6), "different"),
        (one("size_bytes", 10_000_000, unit="byte"), one("size_bytes", 10_000_001, unit="byte"),
         "regressed"),
        (one("size_bytes", 10_000_001, unit="byte"), one("size_bytes", 10_000_000, unit="byte"),
         "improved"),
        (one("train_steps", 128, unit="step"), one("train_steps", 129, unit="step"), "different"),
        (one(n=100), one(n=101), "different"),
        (one(unit="1"), one(unit="dB"), "different"),
        (one(low=0.8, high=1.0), one(), "different"),
        # Measured: by intervals only, and absolute times are told but do not fail.
        (one("latency_ms_p90", 1, unit="ms"), one("latency_ms_p90", 9, unit="ms"), "unjudged"),
        (one("train_step_ms", 1, 0, 2, "ms"), one("train_step_ms", 9, 8, 10, "ms"), "drifted"),
        (one("latency_ms_p50", 9, 8, 10, "ms"), one("latency_ms_p50", 1, 0, 2, "ms"), "improved"),
        (one("accuracy_equal_time", 0.9, 0.8, 1), one("accuracy_equal_time", 0.7, 0.6, 0.79),
         "regressed"),
    ],
)  # fmt: skip
def test_what_is_said_of_one_record(a, b, expected):
    assert kind(a, b) == expected
    assert compare(records.as_table([a]), records.as_table([b])).passes() == (
        expected in ("equal", "unjudged", "drifted", "within")
        or (expected == "improved" and a.metric.startswith("latency"))
    )


def test_the_tolerance_is_the_callers():
    assert kind(one(value=0.9), one(value=0.9009), tolerance=0.001) == "equal"
    assert kind(one(value=900), one(value=900.9), tolerance=0.001) == "equal"
    with pytest.raises(QlabError, match="from 0 to below 1, not 1"):
        kind(one(), one(), tolerance=1)


def test_regressions_only_lets_differences_pass_and_no_regression(committed):
    worse = committed.copy()
    row = worse.index[(worse["metric"] == "top5_first_token") & (worse["variant"] == "gptq_w4_g64")]
    worse.loc[row, ["value", "ci_low", "ci_high"]] -= 0.2
    found = compare(committed, worse)
    assert not found.passes(regressions_only=True)
    assert list(found.of("regressed")["variant"]) == ["gptq_w4_g64"]
    worse.loc[row, ["value", "ci_low", "ci_high"]] += 0.2 - 0.001
    assert compare(committed, worse).passes(regressions_only=True)
    assert not compare(committed, worse).passes()


def test_a_claim_is_the_same_one_whatever_its_verdict():
    claim = Record("claims", "m", "d", "fp16_halves_the_file", "holds", 0.5, "1")
    other = dataclasses.replace(claim, metric="undecided")
    assert kinds([claim], [claim]) == ["equal"]
    assert kinds([claim], [other]) == ["different"]
    untested = dataclasses.replace(claim, metric="not_tested", model="none", dataset="none")
    assert kinds([claim], [untested]) == ["different"]
    timed = dataclasses.replace(claim, variant="every_detector_is_faster")
    assert kinds([timed], [dataclasses.replace(timed, metric="undecided")]) == ["unjudged"]


def test_claims_on_times_are_known_by_their_rules():
    known = {c.id for c in claims.read()[1]}
    timed = metrics.claims_on_measured()
    assert timed < known
    assert {"every_detector_is_faster", "tokens_per_second_on_a_p100", "article_energy"} <= timed
    assert not timed & {"fp16_halves_the_file", "int8_keeps_top5", "ap_falls_with_object_size"}


def test_every_time_and_meter_in_the_records_is_measured_and_nothing_else_is(committed):
    named = ["experiment", "model", "variant", "metric", "unit"]
    told = committed[[metrics.is_measured(*row) for row in committed[named].to_numpy()]]
    own = told[~told["experiment"].isin(["claims", "evidence_synthesis"])]
    assert set(own["unit"]) == {"ms", "s", "token/s", "byte", "1", "step"}
    assert set(records.pick(own, [*own["metric"].unique()], unit="byte")["metric"]) == {
        "peak_memory_bytes"
    }
    assert (
        not committed[committed["unit"].isin(metrics.MEASURED_UNITS)]
        .index.difference(told.index)
        .size
    )
    assert set(own.loc[own["unit"] == "step", "metric"]) == {"equal_time_steps"}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("ap", 1), ("ap75", 1), ("ap_difference", 1), ("acc", 1), ("top5_first_token", 1),
        ("accuracy_minus_tuned", 1), ("tokens_per_s_decode_ratio", 1), ("recovery_difference", 1),
        ("snr_db_network_003_CONV_2D", 1), ("latency_ratio_p50", -1), ("size_gzip_bytes", -1),
        ("perplexity", -1), ("train_peak_memory_bytes", -1), ("energy_j", -1), ("flips_lost", -1),
        ("layer_error_00_q_proj", -1), ("mcnemar_p", 0), ("detectable_difference", 0),
        ("acc_detectable_difference", 0), ("quantized_layers", 0), ("flips_gained", 0),
    ],
)  # fmt: skip
def test_directions(metric, expected):
    assert metrics.direction("e", metric) == expected


def test_verdicts_and_beliefs_have_no_direction():
    assert metrics.direction("claims", "holds") == 0
    assert metrics.direction("evidence_synthesis", "accuracy_belief") == 0


def test_clones_folders_and_files_are_found_and_nothing_else(tmp_path):
    whole = load(ROOT, "mini")
    assert len(load(ROOT / "data/results/mini", "smoke")) == len(whole)
    assert len(load(ROOT / "data/results/mini/claims.csv", "smoke")) < len(whole)
    for place in (tmp_path, tmp_path / "gone"):
        with pytest.raises(
            QlabError, match="There are no records at .*: give a csv file, a folder"
        ):
            load(place, "mini")


def test_the_command_says_it_and_its_exit_code_too(tmp_path, capsys):
    table = load(ROOT / "data/results/mini/resnet_qat.csv", "mini")
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    table.to_csv(a, index=False)
    assert cli.main(["compare", str(a), str(a)]) == 0
    count = int(compare(table, table).table["deterministic"].sum())
    assert capsys.readouterr().out.splitlines()[0] == (
        f"PASSED: {count} of {count} deterministic records are equal; "
        f"none of all {len(table)} regressed."
    )
    at = table.index[table["metric"] == "size_bytes"][:3]
    size = int(table.loc[at[0], "value"])
    table.loc[at, "value"] += 1
    table.to_csv(b, index=False)
    assert cli.main(["compare", str(a), str(b), "--rows", "2"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"FAILED: {count - 3} of {count} ")
    assert f"  {size} byte  {size + 1} byte" in said and "... and 1 more (--rows)" in said
    assert cli.main(["compare", str(a), str(tmp_path / "c")]) == 2
    assert capsys.readouterr().err.startswith("qlab: There are no records at ")


def test_every_kind_is_explained():
    assert all(text and not text.endswith(".") for text in KINDS.values())
