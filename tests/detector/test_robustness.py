"""Worse images: variants are paired with the parent under each condition."""

from pathlib import Path

from tiny_coco import perfect

from qlab.core import corruptions, records
from qlab.detector import robustness


def test_robustness_pairs_each_condition_with_the_parent_under_it(task, monkeypatch):
    monkeypatch.setitem(robustness.LIMIT, "smoke", 6)
    monkeypatch.setitem(robustness.STRENGTHS, "smoke", (1, 3))
    work, _ = task
    asked = []

    def detected(files, images, threads, how):
        asked.extend((file.name, how, list(images)) for file in files)
        # A corruption hurts the quantized one only.
        worse = [file.name == "b" and how is not None for file in files]
        kept = [perfect(work)[:: 3 if one else 1] for one in worse]
        return [[r for r in results if r["image_id"] in images] for results in kept]

    monkeypatch.setattr(robustness.detect, "detect_each", detected)
    files = {"fp32": Path("a"), "int8_static": Path("b")}
    made = robustness.robustness_records(work, robustness.score(work, files))
    table = records.check(records.as_table(made), "here")
    assert {a[0] for a in asked} == {"a", "b"} and set(table["dataset"]) == {"d"}
    assert all(images == sorted(work.images)[:6] for _, _, images in asked)
    worse = {(kind, s) for kind in corruptions.KINDS for s in (1, 3)}
    assert set(zip(table["condition"], table["strength"], strict=True)) == worse | {("clean", 0)}
    assert len({name for _, name, _ in asked}) == 9
    change = records.pick(table, "ap_difference").set_index(["condition", "strength"])
    assert (change.loc[("clean", 0), ["value", "ci_low", "ci_high"]] == 0).all()
    for condition in worse:
        row = change.loc[condition]
        assert row["ci_low"] <= row["value"] < 0 and row["ci_high"] < 0 and row["n"] == 6
