"""Variants of the embedded Llama: what is refused before work, what is kept, what they score."""

import pytest
import tiny_llama
import torch
from conftest import fresh_home

from qlab.core import disk
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.language import build, data, embedded, measure, scoring, streaming


def prepare(**more) -> data.Task:
    return data.prepare(data.Parameters(**{"profile": "smoke", "device": "cpu"} | more))


def test_without_passages_to_train_on_there_are_no_adapters(home, caplog):
    own = embedded.mini_lambada_file("test", 40)
    task = prepare(passages=str(own))
    assert task.training == []
    names = build.chosen(task, "smoke", "")
    assert names == build.FEW[:-1] and "No training passages" in caplog.text
    with pytest.raises(
        QlabError, match="gptq_w2_g64_lora needs passages to train on: .*'training'"
    ):
        build.chosen(task, "smoke", "gptq_w2_g64_lora")
    taught = prepare(passages=str(own), training=str(embedded.mini_lambada_file("train", 5)))
    assert build.chosen(taught, "smoke", "") == build.FEW


def test_a_variant_without_memory_is_left_out_and_recorded(home, monkeypatch, caplog):
    task = prepare(limit=2)
    made = streaming.quantize_folder

    def quantize(folder, method, *rest, **more):
        if method.name == "rtn_w4_g64":
            raise MemoryError
        if method.name == "rtn_w8_g64":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        made(folder, method, *rest, **more)

    monkeypatch.setattr(build.streaming, "quantize_folder", quantize)
    asked = ("rtn_w8_g64", "rtn_w4_g64", "rtn_w2_g64")
    built = build.build(task, asked, "smoke", 0)
    assert list(built) == ["fp32", "rtn_w2_g64"]
    assert "rtn_w4_g64 ran out of memory" in caplog.text
    records = measure.failure_records(task, asked, built)
    assert [(r.variant, r.metric, r.value) for r in records] == [
        ("rtn_w8_g64", "out_of_memory", 1),
        ("rtn_w4_g64", "out_of_memory", 1),
    ]


def test_what_does_not_fit_the_disk_is_refused_before_anything_is_made(home, monkeypatch):
    task = prepare(limit=2)
    asked = ("rtn_w8_g64", "rtn_w2_g64")
    build.build(task, asked[:1], "smoke", 0)
    monkeypatch.setattr(disk, "free", lambda _: 1000)
    with pytest.raises(QlabError, match="Quantizing llama_mini to rtn_w2_g64 will take about 2 MB"):
        build.build(task, asked, "smoke", 0)  # the first is there and needs no room
    assert list(build.build(task, asked[:1], "smoke", 0)) == ["fp32", "rtn_w8_g64"]


def test_sixteen_bits_are_the_float_weights_rounded(home):
    task = prepare(limit=2)
    folder = build.build(task, ("fp16",), "smoke", 0)["fp16"].folder
    before, after = tiny_llama.stored(task.folder), tiny_llama.stored(folder)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].half(), after[name]) for name in before)


def test_work_that_was_finished_is_not_done_again(home, monkeypatch):
    task = prepare(limit=3)
    built = build.build(task, ("rtn_w4_g64",), "smoke", 0)
    first = build.evaluate(task, built)
    monkeypatch.setattr(scoring, "score", None)
    monkeypatch.setattr(streaming._Stream, "step", None)
    again = build.build(task, ("rtn_w4_g64",), "smoke", 0)
    assert again == built
    second = build.evaluate(task, again)
    assert (first["rtn_w4_g64"].log_likelihood == second["rtn_w4_g64"].log_likelihood).all()
    monkeypatch.undo()
    monkeypatch.setenv("QLAB_HOME", str(home))
    fewer = build.evaluate(prepare(limit=2), built)  # other passages: other scores
    assert len(fewer["fp32"].greedy) == 2


@pytest.mark.slow
def test_the_number_of_threads_changes_no_digit(home, tmp_path, monkeypatch):
    """With sums of two threads, GPTQ rounds some weights otherwise than with those of one."""
    names, made = ("rtn_w4_g64", "gptq_w4_g64", "gptq_w4_g64_lora"), {}
    for threads in (1, 3):
        monkeypatch.setenv("QLAB_HOME", str(fresh_home(tmp_path / str(threads))))
        task = prepare(profile="mini", limit=30, calibration_count=4, threads=threads)
        monkeypatch.setitem(build.RECOVERY_STEPS, "mini", 2)
        built = build.build(task, names, "mini", 0)
        scores = build.evaluate(task, built)
        assert list(built) == list(scores) == ["fp32", *names]
        weights = [path for v in built.values() for f in [v.adapter or v.folder]
                   for path in sorted(f.glob("*.safetensors"))]  # fmt: skip
        errors = measure.layer_records(task, built)
        alone = measure.last_sentence_records(task, measure.last_sentence(task, built))
        assert torch.get_num_threads() == threads
        made[threads] = (
            [file_sha256(path) for path in weights],
            [s.log_likelihood.tobytes() for s in scores.values()],
            [r.value for r in errors + alone],
        )
    assert made[1] == made[3]


@pytest.mark.slow
def test_the_embedded_model_is_worth_quantizing(home):
    """Reads its context, keeps 8 bits, breaks at 2 by rounding; its even twin does not."""
    task = prepare(limit=400)
    built = build.build(task, ("gptq_w8_g64", "rtn_w2_g64"), "smoke", 0)
    scores = build.evaluate(task, built)
    top5 = {v: (s.first_rank < 5).mean() for v, s in scores.items()}
    assert top5["fp32"] >= 0.80
    assert abs(top5["gptq_w8_g64"] - top5["fp32"]) <= 0.005
    assert top5["rtn_w2_g64"] < 0.10
    alone = measure.last_sentence_records(task, measure.last_sentence(task, built))
    assert {(r.metric, r.k): r.value for r in alone}["top_first_token", 5] < 0.40
    words = [e.targets for e in task.encoded]
    assert sum(n > 1 for n in words) > 0.5 * len(words)
    twin = build.even_twin(task)
    pair = build.evaluate(twin, build.build(twin, ("rtn_w2_g64",), "smoke", 0))
    assert twin.model == "llama_mini_even"
    assert abs((pair["fp32"].first_rank < 5).mean() - top5["fp32"]) <= 0.005  # the same function
    assert (pair["rtn_w2_g64"].first_rank < 5).mean() > 0.9
