"""What experiment `centernet_ptq` measures, on made-up detections and by a made-up clock."""

import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from tiny_coco import accuracy, perfect, value

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.detector import measure, pictures, speed
from qlab.detector.average_precision import FIGURES


def test_equal_detections_differ_by_exactly_nothing_on_the_images_that_a_variant_saw(
    task, monkeypatch
):
    """Slow ones and those of few bits see fewer; what comes after is compared on all again."""
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    monkeypatch.setitem(measure.FEW_LIMIT, "smoke", 7)
    (work, results), asked = task, {}

    def detected(files, images, threads):
        asked[files[0].name] = list(images)
        return [[r for r in results if r["image_id"] in images]]

    monkeypatch.setattr(measure.detectors, "detect_each", detected)
    judged = {"fp32": 12, measure.SLOW: 5, measure.FEW[0]: 7, "int8_static": 12}
    table = accuracy(work, measure.detect(work, {v: Path(v) for v in judged}))
    assert asked == {v: sorted(work.images)[:n] for v, n in judged.items()}
    assert [value(table, v, "ap")["bits"] for v in judged] == [32, 8, 4, 8]
    for variant, n in [*judged.items()][1:]:
        for figure in [f for f in FIGURES if len(records.pick(table, f, variant=variant))]:
            row = value(table, variant, f"{figure}_difference")
            assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == (0, 0, 0, n), figure
        assert value(table, variant, "flip_rate")["value"] == 0


def test_no_detections_are_a_result_and_pictures_show_the_flips_of_the_records(task):
    work, _ = task
    answers = perfect(work)
    found = {"fp32": answers, "int8_static": [r for r in answers if r["image_id"] <= 6], "fp16": []}
    table = records.check(accuracy(work, found), "here")
    assert value(table, "fp16", "ap")["value"] == 0
    lost = sum(not a["iscrowd"] for a in work.coco.anns.values() if a["image_id"] > 6)
    assert value(table, "int8_static", "flips_lost")["value"] == lost
    flips = [pictures.flips(work, found, "int8_static", [i], 0.3) for i in work.images]
    assert sum((one == "lost").sum() for one in flips) == lost


def test_a_float_model_with_other_labels_is_refused_a_quantized_one_is_a_finding(task, monkeypatch):
    good, other = Path("good"), Path("strange")
    answers = {good: perfect(task[0])}
    answers[other] = [{**r, "category_id": 77} for r in answers[good]]
    monkeypatch.setattr(measure.detectors, "detect_each", lambda f, *_: [answers[f[0]]])
    assert measure.detect(task[0], {"fp32": good, "int8_static": other})
    with pytest.raises(QlabError, match="category 77, which the annotations do not know"):
        measure.detect(task[0], {"fp32": other})


def test_variants_that_do_not_run_are_left_out_but_never_the_parent(monkeypatch):
    files = {v: Path(v) for v in ("fp32", "int16x8", "fp16")}
    broken = {files["int16x8"]: Mock(side_effect=RuntimeError("no kernel"))}
    fine = Mock()
    made = lambda file, threads: Mock(invoke=broken.get(file, fine))  # noqa: E731
    monkeypatch.setattr(measure.detectors, "Detector", made)
    assert list(measure.running(files, 1)) == ["fp32", "fp16"]
    broken[files["fp32"]] = broken[files["int16x8"]]
    with pytest.raises(RuntimeError, match="no kernel"):
        measure.running(files, 1)


ROUNDS = np.array([5.0, 1, 9, 2, 8, 3, 7, 4, 6])
FILES = {"fp32": Path("a"), "int8_static": Path("b")}


def by_process(module, told, count, progress):
    """Rounds of 1..9 s for the parent and twice that for the other; each process is slower."""
    assert module == "qlab.detector.detect" and json.loads(json.dumps(told)) == told
    slower = [ROUNDS * (seed + 1) for seed in range(count)]
    return [{"fp32": one.tolist(), "int8_static": (2 * one).tolist()} for one in slower]


def test_latencies_are_milliseconds_and_ratios_are_of_the_same_round(task, monkeypatch):
    """The second of two processes is twice as slow: that moves times, and no ratio."""
    monkeypatch.setattr(speed, "PROCESSES", {"smoke": 2})
    monkeypatch.setattr(speed.timing, "in_processes", by_process)
    table = records.check(records.as_table(speed.time_records(task[0], FILES)), "here")
    for name, ms in {"ms_p50": 5000, "ms_p90": 8200, "builtin_ms_p50": 5000}.items():
        found = value(table, "fp32", f"latency_{name}")["value"]
        assert found == pytest.approx(ms * 2**0.5), name
    row = value(table, "int8_static", "latency_ms_p50")
    assert row["value"] == pytest.approx(10000 * 2**0.5) and row["ci_low"] < row["value"]
    for name in ("latency_ratio_p50", "latency_builtin_ratio_p50"):
        row = value(table, "int8_static", name)
        assert row[["value", "ci_low", "ci_high"]].tolist() == pytest.approx([2, 2, 2])
        assert not len(records.pick(table, name, variant="fp32"))
    assert table["clock"].all() and (table["better"] == -1).all() and (table["n"] == 2).all()
    assert table["device"].str.endswith(", 2 threads").all() and table["condition"].isna().all()
