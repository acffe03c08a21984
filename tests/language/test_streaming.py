"""Streaming against auto-gptq's own quantize(); resuming; what a folder holds; loading it."""

import json

import pytest
import tiny_llama
import torch

from qlab.language import auto_gptq_compat, llama, methods, streaming

PASSAGES = tiny_llama.PASSAGES


def shards(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("*.safetensors"))


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_streaming_packs_what_auto_gptq_packs(source, made, bits):
    ours = tiny_llama.stored(made(f"gptq_w{bits}_g64"))
    auto_gptq = auto_gptq_compat.load()
    from auto_gptq.modeling.llama import LlamaGPTQForCausalLM

    settings = auto_gptq.BaseQuantizeConfig(bits=bits, group_size=64, desc_act=False)
    theirs = LlamaGPTQForCausalLM(llama.load(source), False, settings)
    rows = [torch.tensor([p]) for p in PASSAGES]
    examples = [{"input_ids": r, "attention_mask": torch.ones_like(r)} for r in rows]
    with auto_gptq_compat.quantizing():
        theirs.quantize(examples, batch_size=1)
    packed = {n: t for n, t in theirs.model.state_dict().items() if n.startswith("model.layers")}
    compared = [name for name in packed if name in ours]
    assert sum(name.endswith("qweight") for name in compared) == 14
    for name in compared:
        assert torch.equal(ours[name], packed[name].to(ours[name].dtype)), name
    # Theirs alone has a bias of zeros for each layer.
    assert {name.rpartition(".")[2] for name in packed.keys() - ours.keys()} == {"bias"}


@pytest.mark.parametrize(
    "name, more",
    [("gptq_w4_g64", {}), ("rtn_w3_g64", {"tie_word_embeddings": False, "attention_bias": True})],
)
def test_plain_auto_gptq_computes_what_the_dense_weights_compute(tmp_path, name, more):
    """With a tied head, and with a head of its own and biases."""
    parent = tiny_llama.write(tmp_path / "source", **tiny_llama.WIDE, **more)
    target = tmp_path / "target"
    streaming.quantize_folder(tmp_path / "source", methods.method(name), PASSAGES, target)
    dense, packed = (load(target) for load in (streaming.load_dense, streaming.load_packed))
    tokens = torch.tensor([PASSAGES[5]])
    with torch.no_grad():
        expected, found, exact = (m(input_ids=tokens).logits for m in (dense, packed, parent))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (expected - exact).abs().max() > 1e-2
    assert (packed.lm_head.weight is packed.model.embed_tokens.weight) == (not more)
    assert type(packed.model.layers[0].mlp.up_proj).__name__ == "QuantLinear"
    kept = tiny_llama.stored(target)
    assert torch.equal(kept[streaming.HEAD], parent.lm_head.weight)
    assert ("model.layers.0.self_attn.q_proj.bias" in kept) == bool(more)


def test_the_folder_is_one_that_hugging_face_knows(source, made, tmp_path):
    target = made("gptq_w2_g64", dtype="bfloat16")
    assert streaming.EMBEDDING not in tiny_llama.stored(target)
    assert torch.equal(
        tiny_llama.stored(target)[streaming.HEAD], tiny_llama.stored(source)[streaming.EMBEDDING]
    )
    assert shards(target) == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert llama.check(target).quantization_config["bits"] == 2
    layers = json.loads((target / "layers.json").read_text())
    assert len(layers) == 14
    assert layers["model.layers.1.mlp.down_proj"]["damping"] == 0.01
    assert [p.name for p in tmp_path.iterdir()] == ["gptq_w2_g64"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["gptq_w4_g64", "rtn_w4_g64"])
def test_a_killed_run_goes_on_at_the_next_layer_with_the_same_bytes(
    source, made, tmp_path, monkeypatch, name
):
    method, whole = methods.method(name), made(name)

    def killed(items):
        for i in items:
            if i == 1:
                raise Killed
            yield i

    target = tmp_path / "resumed"
    with pytest.raises(Killed):
        streaming.quantize_folder(source, method, PASSAGES, target, progress=killed)
    assert not target.exists()
    quantized = []
    quantize = type(method).quantize
    monkeypatch.setattr(type(method), "quantize", lambda *a: quantized.append(1) or quantize(*a))
    streaming.quantize_folder(source, method, PASSAGES, target)
    assert len(quantized) == 7
    assert shards(target) == shards(whole)
    for shard in shards(target):
        assert (target / shard).read_bytes() == (whole / shard).read_bytes()
    quantized.clear()
    streaming.quantize_folder(source, method, PASSAGES, target)  # made already: left as it is
    assert not quantized


@pytest.mark.parametrize("written", ["inputs-00001", "model-00001"])
def test_a_run_killed_while_writing_is_resumed_too(source, made, tmp_path, monkeypatch, written):
    method, whole, target = methods.method("gptq_w4_g64"), made("gptq_w4_g64"), tmp_path / "resumed"
    save, write = streaming._save, streaming._write_json

    def dying(function):
        def call(*arguments):
            path = next(a for a in arguments if hasattr(a, "name"))
            function(*arguments)
            if path.name.startswith(written):
                raise Killed

        return call

    monkeypatch.setattr(streaming, "_save", dying(save))
    monkeypatch.setattr(streaming, "_write_json", lambda p, c: dying(write)(p, c))
    with pytest.raises(Killed):
        streaming.quantize_folder(source, method, PASSAGES, target)
    monkeypatch.undo()
    streaming.quantize_folder(source, method, PASSAGES, target)
    for shard in shards(whole):
        assert (target / shard).read_bytes() == (whole / shard).read_bytes()
