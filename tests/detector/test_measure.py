"""What experiment `centernet_ptq` measures, on made-up detections."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from tiny_coco import perfect, value

from qlab.core import records, stats
from qlab.core.errors import QlabError
from qlab.detector import measure, pictures


def accuracy(work, found):
    return records.as_table(measure.accuracy_records(work, found, measure.score(work, found)))


def test_equal_detections_differ_by_exactly_nothing_wherever_they_stand(task, monkeypatch):
    """The slow variant sees fewer images; what comes after it is compared on all of them again."""
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    work, results = task
    table = accuracy(work, dict.fromkeys(("fp32", measure.SLOW, "int8_static"), results))
    for variant, n in ((measure.SLOW, 5), ("int8_static", 12)):
        row = value(table, variant, "ap_difference")
        assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == (0, 0, 0, n)
        assert value(table, variant, "flip_rate")["value"] == 0
        assert value(table, variant, "mcnemar_p")["value"] == 1


def test_losing_the_answers_of_half_the_images_is_seen(task):
    work, _ = task
    answers = perfect(work)
    found = {"fp32": answers, "int8_static": [r for r in answers if r["image_id"] <= 6]}
    table = records.check(accuracy(work, found | {"fp16": []}), "here")
    assert value(table, "fp16", "ap")["value"] == 0  # no detections at all are a result
    assert value(table, "int8_static", "ap_difference")["ci_high"] < 0
    lost = sum(not a["iscrowd"] for a in work.coco.anns.values() if a["image_id"] > 6)
    assert value(table, "int8_static", "flips_lost")["value"] == lost
    assert value(table, "int8_static", "flips_gained")["value"] == 0
    flips = [pictures.flips(work, found, "int8_static", [i], 0.3) for i in work.images]
    assert sum((one == "lost").sum() for one in flips) == lost
    difference = value(table, "int8_static", "found_share_difference")["value"]
    assert difference == pytest.approx(-value(table, "int8_static", "flip_rate")["value"])


@pytest.mark.parametrize("variant", [measure.SLOW, measure.FEW[0]])
def test_slow_variants_and_those_of_few_bits_are_judged_on_the_images_they_saw(
    task, monkeypatch, variant
):
    limits = measure.SLOW_LIMIT if variant == measure.SLOW else measure.FEW_LIMIT
    monkeypatch.setitem(limits, "smoke", 5)
    work, asked = task[0], {}

    def detected(files, images, threads):
        asked[files[0].name] = list(images)
        return [[r for r in perfect(work) if r["image_id"] in images]]

    monkeypatch.setattr(measure.detectors, "detect_each", detected)
    found = measure.detect(work, {"fp32": Path("a"), variant: Path("b")})
    assert asked == {"a": sorted(work.images), "b": sorted(work.images)[:5]}
    table = accuracy(work, found)
    assert value(table, variant, "found_share")["value"] == 1
    assert value(table, variant, "ap")["bits"] == (8 if variant == measure.SLOW else 4)


def test_a_float_model_with_other_labels_is_refused_a_quantized_one_is_a_finding(task, monkeypatch):
    good, other = Path("good"), Path("strange")
    answers = {good: perfect(task[0])}
    answers[other] = [{**r, "category_id": 77} for r in answers[good]]
    monkeypatch.setattr(measure.detectors, "detect_each", lambda f, *_: [answers[f[0]]])
    assert measure.detect(task[0], {"fp32": good, "int8_static": other})
    with pytest.raises(QlabError, match="category 77, which the annotations do not know"):
        measure.detect(task[0], {"fp32": other})


def test_every_figure_of_coco_has_a_paired_difference(task):
    """Its value is one figure minus the other; its interval is that of the same resamples."""
    work, results = task
    found = {"fp32": results, "fp16": results[::2]}
    table = accuracy(work, found)
    before, after = (measure.score(work, found)[v, 12] for v in found)
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
    files = {v: Path(v) for v in ("fp32", "int16x8", "fp16")}
    broken = {files["int16x8"]: Mock(side_effect=RuntimeError("no kernel"))}
    fine = Mock()
    made = lambda file, threads: Mock(invoke=broken.get(file, fine))  # noqa: E731
    monkeypatch.setattr(measure.detectors, "Detector", made)
    assert list(measure.running(files, 1)) == ["fp32", "fp16"]
    broken[files["fp32"]] = broken[files["int16x8"]]
    with pytest.raises(RuntimeError, match="no kernel"):
        measure.running(files, 1)
