"""What experiment `centernet_ptq` measures, on made-up detections and graphs."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_coco import perfect, value

from qlab.core import records, tflite_graph
from qlab.core.errors import QlabError
from qlab.detector import measure


def accuracy(work, found):
    return measure.accuracy_records(work, found, measure.score(work, found))


def test_equal_detections_differ_by_exactly_nothing_wherever_they_stand(task, monkeypatch):
    """The slow variant sees fewer images; what comes after it is compared on all of them again."""
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    work, results = task
    found = {"fp32": results, measure.SLOW: results, "int8_dynamic_subpixel": results}
    table = records.as_table(accuracy(work, found))
    for variant, n in ((measure.SLOW, 5), ("int8_dynamic_subpixel", 12)):
        row = value(table, variant, "ap_difference")
        assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == (0, 0, 0, n)
        assert value(table, variant, "flip_rate")["value"] == 0
        assert value(table, variant, "mcnemar_p")["value"] == 1


def test_losing_the_answers_of_half_the_images_is_seen(task):
    work, _ = task
    answers = perfect(work)
    found = {"fp32": answers, "int8_static": [r for r in answers if r["image_id"] <= 6]}
    table = records.check(records.as_table(accuracy(work, found | {"fp16": []})), "here")
    assert value(table, "fp16", "ap")["value"] == 0  # no detections at all are a result
    assert value(table, "int8_static", "ap_difference")["ci_high"] < 0
    lost = sum(not a["iscrowd"] for a in work.coco.anns.values() if a["image_id"] > 6)
    assert value(table, "int8_static", "flips_lost")["value"] == lost
    assert value(table, "int8_static", "flips_gained")["value"] == 0
    difference = value(table, "int8_static", "found_share_difference")["value"]
    assert difference == pytest.approx(-value(table, "int8_static", "flip_rate")["value"])


def test_the_slow_variant_is_judged_on_the_images_it_saw(task, monkeypatch):
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    work, _ = task
    asked = {}

    def detected(files, images, threads):
        asked[files[0].name] = list(images)
        return [[r for r in perfect(work) if r["image_id"] in images]]

    monkeypatch.setattr(measure.detectors, "detect_each", detected)
    files = {"fp32": Path("a"), measure.SLOW: Path("b")}
    found = measure.detect(work, files)
    assert asked == {"a": sorted(work.images), "b": sorted(work.images)[:5]}
    table = records.as_table(accuracy(work, found))
    assert value(table, measure.SLOW, "found_share")["value"] == 1


def test_a_float_model_with_other_labels_is_refused_a_quantized_one_is_a_finding(task, monkeypatch):
    work, _ = task
    strange = [{**r, "category_id": 77} for r in perfect(work)]
    answers = {"good": perfect(work), "strange": strange}
    monkeypatch.setattr(measure.detectors, "detect_each", lambda f, *_: [answers[f[0].name]])
    good, other = Path("good"), Path("strange")
    assert measure.detect(work, {"fp32": good, "int8_static": other})
    with pytest.raises(QlabError, match="category 77, which the annotations do not know"):
        measure.detect(work, {"fp32": other})


def test_sizes_are_of_the_file_of_its_gzip_and_of_its_constants(task, tmp_path, monkeypatch):
    work, _ = task
    (tmp_path / "a").write_bytes(b"0" * 5000)
    monkeypatch.setattr(measure.tflite_graph, "weight_bytes", lambda file: {"INT8": 40})
    made = measure.size_records(work, {"fp32": tmp_path / "a", "int8_static": tmp_path / "a"})
    sizes = {r.metric: r.value for r in made}
    assert sizes["size_bytes"] == 5000 and 10 < sizes["size_gzip_bytes"] < 100
    assert sizes["size_int8_bytes"] == 40 and {r.unit for r in made} == {"byte"}
    assert {(r.variant, r.bits) for r in made} == {("fp32", 32), ("int8_static", 8)}


def test_noise_is_named_by_part_place_and_kind(task, monkeypatch):
    work, _ = task
    chain = [tflite_graph.Operator(k, (), (k.lower(),)) for k in ("CONV_2D", "SHAPE", "TOPK_V2")]
    monkeypatch.setattr(measure.tflite_graph, "operators", lambda file: chain)
    monkeypatch.setattr(measure.tflite_graph, "decoding", lambda file: ["topk_v2"])
    monkeypatch.setattr(measure.quantize, "calibration_samples", lambda images: [0] * 12)
    snr = {"conv_2d": 30.0, "topk_v2": -1.0}
    monkeypatch.setattr(measure.quantize, "tensor_snr", lambda *_: snr)
    made = measure.snr_records(work, {"fp32": Path("a"), "int8_static": Path("b")})
    assert {(r.where, r.depth, r.part): (r.metric, r.value, r.unit, r.n) for r in made} == {
        ("network", 0, "CONV_2D"): ("snr_db", 30.0, "dB", 8),
        ("decoding", 2, "TOPK_V2"): ("snr_db", -1.0, "dB", 8),
    }


def test_variants_that_do_not_run_are_left_out_but_never_the_parent(task, monkeypatch):
    work, _ = task
    work = dataclasses.replace(work, subpixel=Path("twin"), calibration=[np.zeros((2, 2, 3))])
    made = {"build_variant": lambda f, v, *_: Path(v), "convert": lambda f, v, s: f / v}
    for name, fake in made.items():
        monkeypatch.setattr(measure.quantize, name, fake)
    refused = ("fp32", "int16x8")
    monkeypatch.setattr(measure, "_runs", lambda v, f, t: v not in refused)
    files = measure.build_variants(work)
    assert "fp32" in files and "int16x8" not in files and len(files) == 7
    assert files[measure.SUBPIXEL] == Path("twin/int8_dynamic")
    ready = dataclasses.replace(work, folder=Path("a.tflite"))
    assert measure.build_variants(ready) == {"as_is": Path("a.tflite")}
    assert measure.parent_of({"as_is": Path("a.tflite")}) == "as_is"
    assert measure.snr_records(ready, {}) == []
