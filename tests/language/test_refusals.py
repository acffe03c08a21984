"""What notebook 02 is given wrong is one sentence, said before any work."""

import json

import pytest
import tiny_llama
import torch

from qlab.core.errors import QlabError
from qlab.language import (
    autoround,
    data,
    device,
    gptq_format,
    lambada,
    llama,
    lora,
    methods,
    streaming,
)


@pytest.fixture
def folder(tmp_path, home, monkeypatch):
    """A small Llama and twelve passages."""
    monkeypatch.delenv("QLAB_DATA", raising=False)
    monkeypatch.setattr(device, "look", lambda: None)
    tiny_llama.write(tmp_path / "m")
    lines = [json.dumps({"text": f"On day {i} they met and said good {i}"}) for i in range(12)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    return tmp_path


def prepare(folder, **changes):
    model, passages = str(folder / "m"), str(folder / "own.jsonl")
    named = {"profile": "smoke", "model": model, "passages": passages} | changes
    return data.prepare(data.Parameters.of(named))


def read(folder, line):
    (folder / "bad.jsonl").write_text(f'{{"text": "a b"}}\n{line}\n')
    return lambada.read(folder / "bad.jsonl")


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (lambda f: prepare(f, model="/no/such/model"), "There is no model folder at /no/such/mod"),
        (lambda f: prepare(f, calibration_count=12), "12 passages cannot be split into 12 that ca"),
        (lambda f: prepare(f, device="cuda"), "finds no CUDA device"),
        (lambda f: read(f, '{"text": "a b"'), r"line 2: expected an object .*\(Invalid JSON: EOF"),
        (lambda f: read(f, '{"text": "alone"}'), "line 2: a passage needs a context, a space and"),
        (lambda f: methods.method("gptq_w5_g64"), "There is no variant 'gptq_w5_g64'.*Did you mea"),
        (lambda f: gptq_format.check_widths({"up": (172, 64)}, 4, 64), "up has 172 outputs, which"),
        (lambda f: autoround.autoround_folder(f / "m", [[1, 2]], f / "t"), "64 do not divide"),
        (
            lambda f: lora.recover(f / "m", [[1, 2], [3]], f / "t"),
            "passage 2 has 1 tokens; 2 to",
        ),
        (lambda f: lora.cost(f), "There is no adapter at"),
    ],
)
def test_work_that_cannot_be_done(folder, work, sentence):
    with pytest.raises(QlabError, match=sentence):
        work(folder)


def pickle_only(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def missing_shard(folder):
    tiny_llama.write(folder, shard="20KB")
    next(folder.glob("model-00002*")).unlink()


def cut_short(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-10])


def index_that_leads_away(folder):
    index = {"weight_map": {"model.norm.weight": str(folder / "model.safetensors")}}
    (folder / llama.INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: tiny_llama.write_tokenizer(f, 301), "has 301 words, the model only 300; take"),
        (pickle_only, r"as pickle only \(pytorch_model\.bin\), which can run any code"),
        (missing_shard, r"lacks 1 of its \d+ weight files, first model-00002-of"),
        (cut_short, r"model\.safetensors is no whole safetensors file \(.*cut short"),
        (index_that_leads_away, "names the weight file '/.*'; expected a file of the same folder"),
    ],
)
def test_models(folder, spoil, sentence):
    spoil(folder / "m")
    for work in (llama.check, llama.load, lambda model: prepare(model.parent)):
        with pytest.raises(QlabError, match=sentence):
            work(folder / "m")


def test_weights_that_cannot_be_packed_name_their_layer(tmp_path):
    model = tiny_llama.write(tmp_path / "source", **tiny_llama.WIDE)
    model.model.layers[1].mlp.up_proj.weight.data[3, 5] = 1e9  # beyond float16's range
    model.save_pretrained(tmp_path / "source")
    method = methods.method("rtn_w4_g64")
    with pytest.raises(QlabError, match=r"model\.layers\.1\.mlp\.up_proj: After packing to 4 bits"):
        streaming.quantize_folder(tmp_path / "source", method, [], tmp_path / "t")


def test_inputs_that_overflowed_or_are_missing():
    layer, method = torch.nn.Linear(64, 32, bias=False), methods.method("gptq_w4_g64")
    with pytest.raises(QlabError, match="needs inputs to calibrate on"):
        method.quantize(layer, method.observe(layer))
    observer, x = method.observe(layer), torch.full((1, 5, 64), float("inf"))
    observer.add_batch(x, layer(x))
    with pytest.raises(QlabError, match="overflowed"):
        method.quantize(layer, observer)
