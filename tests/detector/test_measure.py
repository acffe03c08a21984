"""What experiment `centernet_ptq` measures, on made-up detections and graphs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tiny_coco import perfect, value

from qlab.core import records, stats
from qlab.core.errors import QlabError
from qlab.detector import measure


def accuracy(work, found):
    return measure.accuracy_records(work, found, measure.score(work, found))


def test_equal_detections_differ_by_exactly_nothing_wherever_they_stand(task, monkeypatch):
    """The slow variant sees fewer images; what comes after it is compared on all of them again."""
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    work, results = task
    found = {"fp32": results, measure.SLOW: results, "int8_static": results}
    table = records.as_table(accuracy(work, found))
    for variant, n in ((measure.SLOW, 5), ("int8_static", 12)):
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


@pytest.mark.parametrize("variant", [measure.SLOW, *measure.FEW])
def test_slow_variants_and_those_of_few_bits_are_judged_on_the_images_they_saw(
    task, monkeypatch, variant
):
    limits = measure.SLOW_LIMIT if variant == measure.SLOW else measure.FEW_LIMIT
    monkeypatch.setitem(limits, "smoke", 5)
    work, _ = task
    asked = {}

    def detected(files, images, threads):
        asked[files[0].name] = list(images)
        return [[r for r in perfect(work) if r["image_id"] in images]]

    monkeypatch.setattr(measure.detectors, "detect_each", detected)
    found = measure.detect(work, {"fp32": Path("a"), variant: Path("b")})
    assert asked == {"a": sorted(work.images), "b": sorted(work.images)[:5]}
    table = records.as_table(accuracy(work, found))
    assert value(table, variant, "found_share")["value"] == 1
    assert value(table, variant, "ap")["bits"] == (8 if variant == measure.SLOW else 4)
    monkeypatch.setitem(limits, "smoke", 0)  # none
    assert measure.judged_ids(work, variant) == sorted(work.images)


def test_a_float_model_with_other_labels_is_refused_a_quantized_one_is_a_finding(task, monkeypatch):
    work, _ = task
    strange = [{**r, "category_id": 77} for r in perfect(work)]
    answers = {"good": perfect(work), "strange": strange}
    monkeypatch.setattr(measure.detectors, "detect_each", lambda f, *_: [answers[f[0].name]])
    good, other = Path("good"), Path("strange")
    assert measure.detect(work, {"fp32": good, "int8_static": other})
    with pytest.raises(QlabError, match="category 77, which the annotations do not know"):
        measure.detect(work, {"fp32": other})


def test_sizes_are_of_the_file_and_of_its_gzip(task, tmp_path):
    work, _ = task
    (tmp_path / "a").write_bytes(b"0" * 5000)
    made = measure.size_records(work, {"fp32": tmp_path / "a", "int8_static": tmp_path / "a"})
    sizes = {r.metric: r.value for r in made}
    assert sizes["size_bytes"] == 5000 and 10 < sizes["size_gzip_bytes"] < 100
    assert {r.unit for r in made} == {"byte"}
    assert {(r.variant, r.bits) for r in made} == {("fp32", 32), ("int8_static", 8)}


def test_noise_is_named_by_part_place_and_kind(task):
    work, _ = task
    arriving = pd.DataFrame({
        "depth": [0, 2, 3], "operator": ["a", "c", "d"], "kind": ["CONV_2D", "TOPK_V2", "ADD"],
        "where": ["network", "decoding", "network"], "db": [30.0, -1.0, np.nan], "n": 4,
    })  # fmt: skip
    own = {"own_db": 41.0, "end_db": 7.0, "mended_db": 52.0, "n": 2}
    alone = arriving[:1].drop(columns="db").assign(**own)
    made = measure.noise_records(work, arriving, alone)
    assert {(r.metric, r.where, r.depth, r.part): (r.value, r.unit, r.n) for r in made} == {
        ("snr_db", "network", 0, "CONV_2D"): (30.0, "dB", 4),
        ("snr_db", "decoding", 2, "TOPK_V2"): (-1.0, "dB", 4),
        ("snr_own_db", "network", 0, "CONV_2D"): (41.0, "dB", 2),
        ("snr_end_db", "network", 0, "CONV_2D"): (7.0, "dB", 2),
        ("snr_end_mended_db", "network", 0, "CONV_2D"): (52.0, "dB", 2),
    }


def test_every_figure_of_coco_has_a_paired_difference(task):
    """Its value is one figure minus the other; its interval is that of the same resamples."""
    work, results = task
    found = {"fp32": results, "fp16": results[::2]}
    scores = measure.score(work, found)
    table = records.as_table(measure.accuracy_records(work, found, scores))
    before, after = (scores[v, 12] for v in found)
    assert len(before.figures) > 10
    for metric in before.figures:
        row = value(table, "fp16", f"{metric}_difference")
        values = [value(table, v, metric)["value"] for v in ("fp16", "fp32")]
        assert row["value"] == pytest.approx(values[0] - values[1], nan_ok=True)
        shift = after.samples[metric] - before.samples[metric]
        expected = stats.bootstrap_interval(shift, row["value"])
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected), metric
        assert not len(records.pick(table, f"{metric}_difference", variant="fp32"))


def test_variants_that_do_not_run_are_left_out_but_never_the_parent(monkeypatch):
    broken = {"int16x8"}

    def detector(file, threads):
        if file.name in broken:
            raise RuntimeError(f"no kernel for {file}")
        return SimpleNamespace(invoke=lambda: None)

    files = {v: Path(v) for v in ("fp32", "int16x8", "fp16")}
    monkeypatch.setattr(measure.detectors, "Detector", detector)
    assert list(measure.running(files, 1)) == ["fp32", "fp16"]
    broken.add("fp32")
    with pytest.raises(RuntimeError, match="no kernel for fp32"):
        measure.running(files, 1)
    assert measure.parent_of(files) == "fp32" and measure.parent_of({"as_is": 0}) == "as_is"
