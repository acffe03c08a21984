"""Variants of the embedded Llama: what is refused before work, what is kept, what they score."""

import dataclasses
from types import SimpleNamespace

import pytest
import shown
import tiny_llama
import torch
from conftest import fresh_home
from tiny_llama import prepare

from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.language import build, data, decoder, outliers, scoring, streaming
from qlab.language.gptq import Gptq, RoundToNearest
from qlab.language.quantized import Library

RTN = {f"rtn_w{bits}_g64": RoundToNearest(bits, 64) for bits in (8, 4, 2)}
TWO = {"rtn_w2_g64": RTN["rtn_w2_g64"]}


def test_variants_are_chosen_by_name_or_by_whether_they_fit(home, caplog):
    task, making = prepare(limit=2), RTN | {"rtn_w4_g48": RoundToNearest(4, 48)}
    assert build.chosen(task, making) == RTN
    assert "rtn_w4_g48 is left out: " in caplog.text and "groups of 48 do not divide" in caplog.text
    names = ["rtn_w2_g64", "rtn_w8_g64"]
    assert list(build.chosen(task, making, f" {','.join(names)} ")) == names
    with pytest.raises(QlabError, match="no variant 'rtn_w5_g64'; there are rtn_w8_g64, "):
        build.chosen(task, making, "rtn_w5_g64")


def test_what_was_made_is_kept_and_what_does_not_fit_the_disk_is_refused(home, monkeypatch):
    task = prepare(limit=3)
    built = build.folders(task, TWO)
    first = build.evaluate(task, built)
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "score", None)
        patch.setattr(streaming, "quantize_folder", None)
        little = {home / "build": SimpleNamespace(free=1000)}  # that folder and no other
        patch.setattr(build.shutil, "disk_usage", little.__getitem__)
        assert build.folders(task, TWO) == built  # what is there needs no room
        second = build.evaluate(task, built)
        with pytest.raises(QlabError, match=r"Quantizing llama_mini .* MB"):
            build.folders(task, RTN)
    assert (first["rtn_w2_g64"].log_likelihood == second["rtn_w2_g64"].log_likelihood).all()
    assert (first["fp32"].divergence == 0).all() and (first["rtn_w2_g64"].divergence > 0).all()
    fewer = build.evaluate(prepare(limit=2), built)  # other passages: other scores
    assert len(fewer["fp32"].greedy) == 2


def test_a_librarys_variant_is_what_its_function_writes_and_another_setting_is_another(home):
    """The notebook's own function, which writes the model in float16."""
    task, cells = prepare(limit=2), shown.run("02_", "from transformers import", "def library(")
    half = Library(None, 16, None, cells.library)
    [_, built] = build.folders(task, {"fp16": half}).values()
    before, after = tiny_llama.stored(task.folder), tiny_llama.stored(built.folder)
    assert all(torch.equal(before[name].half(), after[name]) for name in after)
    others = [dataclasses.replace(half, make=lambda *_, **__: None)]
    others += [dataclasses.replace(half, settings={"load_in_8bit": True})]
    for other in others:
        assert build.recipe(task, other) != build.recipe(task, half)


def test_only_some_layers_of_a_variant_are_its_own(home):
    task = prepare(limit=2)
    built = build.folders(task, TWO)
    chosen = tuple(decoder.shapes(streaming.load_dense(task.folder).config))[:3]
    part = dataclasses.replace(built["rtn_w2_g64"], name="part", layers=chosen)
    whole, quantized, mixed = (build.load(task, v) for v in [*built.values(), part])
    for name, weight in mixed.named_parameters():
        of = quantized if name.removesuffix(".weight") in chosen else whole
        assert torch.equal(weight, of.get_parameter(name)), name
    scores = build.evaluate(task, built | {"part": part})
    assert 0 < scores["part"].divergence.mean() != scores["rtn_w2_g64"].divergence.mean()


@pytest.mark.slow
def test_the_number_of_threads_changes_no_digit(home, tmp_path, monkeypatch):
    """With sums of two threads, GPTQ rounds some weights otherwise than with those of one."""
    making, made = {"rtn_w4_g64": RoundToNearest(4, 64), "gptq_w4_g64": Gptq(4, 64)}, []
    for threads in (1, 3):
        monkeypatch.setenv("QLAB_HOME", str(fresh_home(tmp_path / str(threads))))
        task = prepare(profile="mini", limit=30, calibration_count=4, threads=threads)
        scores = build.evaluate(task, built := build.folders(task, making))
        assert list(built) == list(scores) == ["fp32", *making]
        assert torch.get_num_threads() == task.threads == 1
        made.append([file_sha256(one.folder) for one in built.values()])
        made[-1] += [one.log_likelihood.tobytes() for one in scores.values()]
    assert made[0] == made[1]


def test_twins_are_the_same_function_with_names_of_their_own(home):
    tasks = [task := prepare(limit=2), *(data.twin(task, s) for s in (0.0, outliers.STRENGTH / 2))]
    assert [one.model for one in tasks] == ["llama_mini", "llama_mini_even", "llama_mini_0.35"]
    assert len({one.parent for one in tasks}) == 3
    models = [streaming.load_dense(one.folder) for one in tasks]
    whole, *twins = map(tiny_llama.logits, models)
    torch.testing.assert_close(twins, [whole] * 2, rtol=1e-3, atol=1e-3)
    assert not any(map(torch.equal, *(m.model.layers.parameters() for m in models[:2])))
    largest, least, between = (m.model.layers[0].mlp.up_proj.weight.abs().max() for m in models)
    assert least < between < largest
