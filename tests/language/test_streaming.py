"""Streaming against auto-gptq's own quantize(), and what a folder holds; auto-gptq loads it."""

import pytest
import tiny_llama
import torch
from transformers import modeling_utils

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat, configuration, decoder, streaming
from qlab.language.gptq import Gptq, RoundToNearest

PASSAGES = tiny_llama.PASSAGES
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def theirs(folder, patch):
    """The model that plain auto-gptq loads on a CPU; what it replaces for good is put back."""
    for name in ("kaiming_uniform_", "uniform_", "normal_"):
        patch.setattr(torch.nn.init, name, getattr(torch.nn.init, name))
    patch.setattr(modeling_utils, "_init_weights", True, raising=False)
    more = {"use_triton": False, "disable_exllama": True, "disable_exllamav2": True}
    load = auto_gptq_compat.load().AutoGPTQForCausalLM.from_quantized
    return load(str(folder), device="cpu", torch_dtype=torch.float32, **more).model


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_streaming_packs_what_auto_gptq_packs(source, made, bits, monkeypatch):
    ours = tiny_llama.stored(made(Gptq(bits, 64)))
    auto_gptq = auto_gptq_compat.load()
    from auto_gptq.modeling.llama import LlamaGPTQForCausalLM

    for module in (auto_gptq.modeling._base, auto_gptq.modeling._utils):  # it knows only a GPU
        monkeypatch.setattr(module, "CUDA_0", torch.device("cpu"))
    settings = auto_gptq.BaseQuantizeConfig(bits=bits, group_size=64, desc_act=False)
    whole = LlamaGPTQForCausalLM(decoder.load(source), False, settings)
    rows = [torch.tensor([p]) for p in PASSAGES]
    examples = [{"input_ids": r, "attention_mask": torch.ones_like(r)} for r in rows]
    with auto_gptq_compat.quantizing():
        whole.quantize(examples, batch_size=1)
    packed = {n: t for n, t in whole.model.state_dict().items() if n.startswith("model.layers")}
    compared = [name for name in packed if name in ours]
    assert sum(name.endswith("qweight") for name in compared) == 14
    for name in compared:
        assert torch.equal(ours[name], packed[name].to(ours[name].dtype)), name
    # Theirs alone has a bias of zeros for each layer.
    assert {name.rpartition(".")[2] for name in packed.keys() - ours.keys()} == {"bias"}


@pytest.mark.parametrize("more", [{}, {"tie_word_embeddings": False, "attention_bias": True}])
def test_plain_auto_gptq_computes_what_the_dense_weights_compute(tmp_path, made, more, monkeypatch):
    """With a tied head, and with a head of its own and biases."""
    parent = tiny_llama.write(tmp_path / "source", **tiny_llama.WIDE, **more)
    target = made(RoundToNearest(3, 64), of=tmp_path / "source")
    dense, packed = streaming.load_dense(target), streaming.load_packed(target)
    by_itself = theirs(target, monkeypatch)
    expected = tiny_llama.logits(dense)
    for model in (packed, by_itself):
        torch.testing.assert_close(tiny_llama.logits(model), expected, rtol=1e-4, atol=1e-4)
        assert type(model.model.layers[0].mlp.up_proj).__name__ == "QuantLinear"
    assert (expected - tiny_llama.logits(parent)).abs().max() > 1e-2
    assert (packed.lm_head.weight is packed.model.embed_tokens.weight) == (not more)
    kept = tiny_llama.stored(target)
    assert torch.equal(kept[HEAD], parent.lm_head.weight)
    assert ("model.layers.0.self_attn.q_proj.bias" in kept) == bool(more)


def test_the_folder_is_one_that_hugging_face_knows(source, made):
    target = made(Gptq(2, 64), dtype="bfloat16")
    kept, before = tiny_llama.stored(target), tiny_llama.stored(source)
    assert EMBEDDING not in kept and torch.equal(kept[HEAD], before[EMBEDDING])
    shards = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert sorted(path.name for path in target.glob("*.safetensors")) == shards
    assert configuration.check(target).quantization_config["bits"] == 2
    assert {path.name for path in source.glob("*token*")} <= {p.name for p in target.iterdir()}


def test_work_that_cannot_be_done_names_the_layer(tmp_path, made):
    with pytest.raises(QlabError, match="(up|q)_proj has 64 inputs, which groups of 48 do not"):
        made(RoundToNearest(4, 48))
    with pytest.raises(QlabError, match="q_proj: GPTQ needs inputs to calibrate on"):
        made(Gptq(4, 64), [])
    model = tiny_llama.write(tmp_path / "source", **tiny_llama.WIDE)
    model.model.layers[1].mlp.up_proj.weight.data[3, 5] = 1e9  # beyond float16's range
    model.save_pretrained(tmp_path / "source")
    with pytest.raises(QlabError, match=r"1\.mlp\.up_proj: .* weights, packed to 4 bits, read"):
        made(RoundToNearest(4, 64), of=tmp_path / "source")
