"""Worse images: how they are made, and that variants are paired with the parent under each."""

from pathlib import Path

import numpy as np
import pytest
from tiny_coco import perfect

from qlab.core import corruptions, records
from qlab.detector import robustness


def test_robustness_pairs_each_condition_with_the_parent_under_it(task, monkeypatch):
    monkeypatch.setitem(robustness.LIMIT, "smoke", 6)
    monkeypatch.setitem(robustness.STRENGTHS, "smoke", (1, 3))
    work, _ = task
    asked = []

    def detected(files, images, threads, change, name):
        asked.extend((file.name, name, list(images)) for file in files)
        if change is not None:  # a corruption hurts the quantized one only
            pixels = change(np.full((4, 4, 3), 99, np.uint8), 1)
            assert pixels.shape == (4, 4, 3)
        worse = [file.name == "b" and change is not None for file in files]
        kept = [perfect(work)[:: 3 if one else 1] for one in worse]
        return [[r for r in results if r["image_id"] in images] for results in kept]

    monkeypatch.setattr(robustness.detect, "detect_each", detected)
    files = {"fp32": Path("a"), "int8_static": Path("b"), "int16x8": Path("c")}
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


def test_every_image_is_corrupted_in_its_own_way():
    image = np.full((8, 8, 3), 128, np.uint8)
    change = robustness._corruption("noise", 2, seed=5)
    assert (change(image, 1) == change(image, 1)).all()
    assert (change(image, 1) != change(image, 2)).any()
    assert (change(image, 1) == corruptions.corrupt(image, "noise", 2, seed=6)).all()


def test_noise_has_the_stated_strength_and_stays_in_range():
    grey, white = (np.full((64, 64, 3), v, np.uint8) for v in (128, 255))
    for strength, spread in ((1, 10), (2, 22), (3, 40)):
        assert corruptions.noise(grey, strength, 0).std() == pytest.approx(spread, rel=0.03)
        assert corruptions.noise(white, strength, 0).min() > 255 - 6 * spread


def test_blur_is_relative_to_the_image():
    small, large = (np.zeros((n, 2 * n, 3), np.uint8) for n in (100, 300))
    for image in (small, large):
        image[:, image.shape[1] // 2 :] = 255
    reach = [(corruptions.blur(i, 3, 0)[5, :, 0] % 255 != 0).mean() for i in (small, large)]
    assert reach[0] == pytest.approx(reach[1], rel=0.15) and 0 < reach[0] < 0.2
