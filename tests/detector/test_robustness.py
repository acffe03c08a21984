"""Worse images: how they are made, and that variants are paired with the parent under each."""

from pathlib import Path

import numpy as np
from tiny_coco import perfect

from qlab.core import corruptions, records
from qlab.detector import robustness


def test_robustness_pairs_each_condition_with_the_parent_under_it(task, monkeypatch):
    monkeypatch.setitem(robustness.LIMIT, "smoke", 6)
    monkeypatch.setitem(robustness.STRENGTHS, "smoke", (1, 3))
    work, _ = task
    asked = []

    def detected(files, images, threads, change, name):
        asked.append(name)
        assert list(images) == sorted(work.images)[:6]
        if change is not None:  # a corruption hurts the quantized one only
            one, same, other = (change(np.full((8, 8, 3), 99, np.uint8), i) for i in (1, 1, 2))
            assert (one == same).all() and ("noise" not in name or (one != other).any())
        worse = [file.name == "b" and change is not None for file in files]
        kept = [perfect(work)[:: 3 if one else 1] for one in worse]
        return [[r for r in results if r["image_id"] in images] for results in kept]

    monkeypatch.setattr(robustness.detect, "detect_each", detected)
    files = {"fp32": Path("a"), "int8_static": Path("b"), "int16x8": Path("c")}
    made = robustness.robustness_records(work, robustness.score(work, files))
    table = records.check(records.as_table(made), "here")
    assert set(table["variant"]) == {"fp32", "int8_static"}
    worse = {(kind, s) for kind in corruptions.KINDS for s in (1, 3)}
    assert set(zip(table["condition"], table["strength"], strict=True)) == worse | {("clean", 0)}
    change = records.pick(table, "ap_difference").set_index(["condition", "strength"])
    assert (change.loc[("clean", 0), ["value", "ci_low", "ci_high"]] == 0).all()
    for condition in worse:
        row = change.loc[condition]
        assert row["ci_low"] <= row["value"] < 0 and row["ci_high"] < 0 and row["n"] == 6
    # Other code of the corruptions makes other images, which have another name.
    monkeypatch.setattr(robustness, "code_sha256", lambda module: {module: "other"})
    before = set(asked)
    robustness.score(work, files)
    assert len(before) == 9 and before & set(asked[9:]) == {"none"}
