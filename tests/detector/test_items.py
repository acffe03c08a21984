"""Every figure and interval comes out again from what is kept of the detections."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import fresh_home

from qlab.core import items, records
from qlab.core.errors import QlabError
from qlab.detector import average_precision, coco, data, measure, robustness

MADE_AGAIN = [*records.KEY, "value", "ci_low", "ci_high", "n"]


def results_of(rows: pd.DataFrame) -> list[dict]:
    """Kept detections as entries of a COCO results file; where no box is kept, it is a point."""
    boxes = rows[average_precision.BOX].fillna(0).to_numpy(float) / average_precision.PIXEL
    found = rows[["image", "category"]].set_axis(["image_id", "category_id"], axis=1)
    found = found.assign(bbox=boxes.tolist(), score=rows["score"] / average_precision.SCORE)
    return found.to_dict("records")


def again(task: data.Task, kept: pd.DataFrame) -> list[records.Record]:
    """The records that are judged on items, from the kept items and the annotations alone."""
    profile, clean, under = task.given.profile, {}, {}
    ids = sorted(task.images)[: robustness.LIMIT[profile]]
    how = (measure.DRAWS[profile], task.given.seed)
    about = ["condition", "strength", "variant"]
    for (kind, strength, v), rows in kept.groupby(about, sort=False, dropna=False, observed=True):
        results = results_of(rows)
        if pd.isna(kind):
            clean[v] = results
        else:
            one = average_precision.judged(task.coco, results, ids, *how, overall=True)
            under.setdefault((kind, strength), {})[v] = one
    made = measure.accuracy_records(task, clean, measure.score(task, clean))
    return made + robustness.robustness_records(task, under)


def table_of(made: list[records.Record]) -> pd.DataFrame:
    return records.as_table(made).sort_values(records.KEY)[MADE_AGAIN].reset_index(drop=True)


def worse(results, rng, share=0.8):
    """Some of the answers, with other scores, many of them equal."""
    kept = [r for r in results if rng.random() < share]
    return [r | {"score": float(rng.choice([0.2, 0.5, 0.9]))} for r in kept]


@pytest.mark.parametrize("seed", range(3))
def test_every_interval_is_computed_again_from_the_written_items(task, seed, tmp_path, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    monkeypatch.setitem(measure.FEW_LIMIT, "smoke", 7)
    work, results = task
    rng = np.random.default_rng(seed)
    found = {"fp32": results, "int8_static": worse(results, rng)}
    for variant, n in ((measure.SLOW, 5), ("int4_octav", 7)):
        found[variant] = worse([r for r in results if r["image_id"] <= n], rng)

    def detected(files, images, threads, how):
        return [[r for r in worse(results, rng) if r["image_id"] in images] for _ in files]

    monkeypatch.setattr(robustness.detect, "detect_each", detected)
    files = {"fp32": Path("a"), "int8_static": Path("b")}
    scores, under = measure.score(work, found), robustness.score(work, files)
    made = measure.accuracy_records(work, found, scores)
    made += robustness.robustness_records(work, under)
    items.write(measure.EXPERIMENT, "smoke", average_precision.table(scores, under))
    kept = items.read(measure.EXPERIMENT, "smoke")
    assert len(kept) < sum(map(len, found.values())) + 5 * 2 * len(results)
    pd.testing.assert_frame_equal(table_of(made), table_of(again(work, kept)), check_exact=True)


def test_only_what_no_score_hangs_on_is_left_out():
    """Detections behind the last hit, and where size does not count the places of misses."""
    box = {"image_id": 1, "bbox": [10.0, 20.0, 30.0, 40.0]}
    truth = box | {"id": 1, "category_id": 1, "area": 1200.0, "iscrowd": 0}
    world = coco.quiet_coco({
        "images": [{"id": 1}], "categories": [{"id": c} for c in (1, 2)], "annotations": [truth],
    })  # fmt: skip
    far = box | {"bbox": [200.0, 200.0, 30.0, 40.0], "category_id": 1}
    answers = [box | {"category_id": 1, "score": 0.5}, far | {"score": 0.7}, far | {"score": 0.3},
               box | {"category_id": 2, "score": 0.9}]  # fmt: skip
    kept = average_precision.judged(world, answers, [1], 5, 0).items
    assert kept["score"].tolist() == [700_000, 500_000] and kept["category"].tolist() == [1, 1]
    assert kept["x"].tolist() == [200_000, 10_000]
    overall = average_precision.judged(world, answers, [1], 5, 0, overall=True).items
    assert overall["x"].isna().tolist() == [True, False]
    assert results_of(kept)[1] == answers[0]


@pytest.mark.slow
def test_the_committed_intervals_are_those_of_the_committed_items(tmp_path, monkeypatch):
    """Of the profile `mini`, in all ten digits that its records keep."""
    try:
        kept = items.read(measure.EXPERIMENT, "mini")
    except QlabError as error:
        pytest.skip(str(error))
    committed = records.read(measure.EXPERIMENT, "mini")
    monkeypatch.setenv("QLAB_HOME", str(fresh_home(tmp_path / "home")))
    task = data.prepare(data.Parameters())
    made = table_of(again(task, kept))
    both = made.merge(committed, on=records.KEY, suffixes=("", "_committed"))
    assert len(both) == len(made)
    for column in ("value", "ci_low", "ci_high", "n"):
        np.testing.assert_allclose(both[column], both[f"{column}_committed"], rtol=1e-9, atol=1e-12)
