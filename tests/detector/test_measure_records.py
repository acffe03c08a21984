"""What experiment `centernet_ptq` measures, on made-up graphs, clocks and meters."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_coco import perfect, random_world, value

from qlab.core import records, tflite_graph
from qlab.core.errors import QlabError
from qlab.detector import measure, speed
from qlab.detector.data import Parameters, Task


def test_the_slow_variant_is_judged_on_the_images_it_saw(task, monkeypatch):
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    work, _ = task
    asked = {}

    def detected(file, images, threads):
        asked[file.name] = list(images)
        return [r for r in perfect(work) if r["image_id"] in images]

    monkeypatch.setattr(measure.detectors, "detect_all", detected)
    files = {"fp32": Path("a"), measure.SLOW: Path("b")}
    found = measure.detect(work, files)
    assert asked == {"a": sorted(work.images), "b": sorted(work.images)[:5]}
    table = records.as_table(measure.accuracy_records(work, found, measure.score(work, found)))
    assert value(table, measure.SLOW, "found_share")["value"] == 1


def test_a_float_model_with_other_labels_is_refused_a_quantized_one_is_a_finding(task, monkeypatch):
    work, _ = task
    strange = [{**r, "category_id": 77} for r in perfect(work)]
    answers = {"good": perfect(work), "strange": strange}
    monkeypatch.setattr(measure.detectors, "detect_all", lambda f, *_: answers[f.name])
    good, other = Path("good"), Path("strange")
    assert measure.detect(work, {"fp32": good, "int8_static": other})
    with pytest.raises(QlabError, match="category 77, which the annotations do not know"):
        measure.detect(work, {"fp32": other})


def test_without_objects_there_are_no_flips(tmp_path):
    world, results = random_world(4, objects=0)
    images = {i: tmp_path for i in world.imgs}
    work = Task(Parameters(), "m", "d", tmp_path, None, 64, world, images, [])
    found = {"fp32": [], "int8_static": []}
    assert measure._flip_records(work, found, "int8_static", "fp32", sorted(world.imgs)) == []


def test_latencies_are_milliseconds_and_ratios_are_of_the_same_round(task, monkeypatch):
    """Round times 1..9 s of the parent and twice that of the other, whatever the round."""
    rounds = np.array([5.0, 1, 9, 2, 8, 3, 7, 4, 6])
    work, _ = task

    def timed(calls, repeats, progress):
        return {n: rounds * (2 if n[0] == "int8_static" else 1) for n in calls}

    steps = {"decode": list, "preprocess": list, "invoke": list}
    monkeypatch.setattr(speed.detectors, "Detector", lambda *_: None)
    monkeypatch.setattr(speed.detectors, "stages", lambda *_: steps)
    monkeypatch.setattr(speed.timing, "interleaved", timed)
    files = {"fp32": Path("a"), "int8_static": Path("b")}
    made = speed.time_records(work, files)
    table = records.check(records.as_table(made), "here")
    assert value(table, "fp32", "latency_ms_p50")["value"] == 5000
    assert value(table, "fp32", "latency_ms_p90")["value"] == pytest.approx(8200)
    assert value(table, "image", "latency_decode_ms_p50")["value"] == 5000
    assert value(table, "int8_static", "latency_preprocess_ms_p50")["value"] == 10000
    for name in ("latency_ratio_p50", "latency_builtin_ratio_p50"):
        row = value(table, "int8_static", name)
        assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == (2, 2, 2, 9)
        assert not len(records.pick(table, name, variant="fp32"))
    assert table["clock"].all() and (table["better"] == -1).all()
    assert table["device"].str.endswith(", 2 threads").all()


def test_energy_is_joules_of_one_image_and_absent_without_a_meter(task, monkeypatch):
    work, _ = task
    spent = [0.0]

    class Fake:
        def __init__(self, *_):
            pass

        def __call__(self, image):
            spent[0] += 100  # the warm-up is not counted

        def invoke(self):
            spent[0] += 0.5

    monkeypatch.setattr(speed.detectors, "Detector", Fake)
    monkeypatch.setattr(speed, "read_image", lambda path: None)
    monkeypatch.setattr(speed.timing, "METERS", {"rapl": lambda: spent[0]})
    (made,) = speed.energy_records(work, {"fp32": Path("a")}, repeats=4)
    assert (made.value, made.unit, made.n, made.metric) == (0.5, "J", 4, "energy_j")
    monkeypatch.setattr(speed.timing, "METERS", {})
    assert speed.energy_records(work, {"fp32": Path("a")}) == []


def test_sizes_are_of_the_file_of_its_gzip_and_of_its_constants(task, tmp_path, monkeypatch):
    work, _ = task
    (tmp_path / "a").write_bytes(b"0" * 5000)
    monkeypatch.setattr(measure.tflite_graph, "weight_bytes", lambda file: {"INT8": 40})
    made = measure.size_records(work, {"fp32": tmp_path / "a", "int8_static": tmp_path / "a"})
    sizes = {r.metric: r.value for r in made}
    assert sizes["size_bytes"] == 5000 and 10 < sizes["size_gzip_bytes"] < 100
    assert sizes["size_int8_bytes"] == 40 and {r.unit for r in made} == {"byte"}
    assert {(r.variant, r.bits) for r in made} == {("fp32", 32), ("int8_static", 8)}


def test_operators_of_a_kind_are_added_up_for_both_kernel_sets(task, monkeypatch):
    work, _ = task

    def timed(file, threads, xnnpack):
        kinds = ["CONV_2D", "ADD", "CONV_2D"]
        return pd.DataFrame({"kind": kinds, "output": list("abc"), "ms": [1, 2, 4 + xnnpack]})

    monkeypatch.setattr(speed, "time_operators", timed)
    made = speed.operator_records(work, {"fp32": Path("a")}, ("fp32", "absent"))
    assert {(r.metric, r.part): (r.value, r.n) for r in made} == {
        ("operator_ms", "CONV_2D"): (6, 2),
        ("operator_ms", "ADD"): (2, 1),
        ("operator_builtin_ms", "CONV_2D"): (5, 2),
        ("operator_builtin_ms", "ADD"): (2, 1),
    }


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
