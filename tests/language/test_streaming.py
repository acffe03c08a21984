"""Streaming against auto-gptq's own quantize(), and what a folder holds."""

import pytest
import tiny_llama
import torch

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat, configuration, decoder
from qlab.language.gptq import Gptq, RoundToNearest

PASSAGES = tiny_llama.PASSAGES
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


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


def test_the_folder_is_one_that_hugging_face_knows(source, made):
    target = made(Gptq(2, 64), dtype="bfloat16")
    kept, before = tiny_llama.stored(target), tiny_llama.stored(source)
    assert EMBEDDING not in kept and torch.equal(kept[HEAD], before[EMBEDDING])
    shards = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert sorted(path.name for path in target.glob("*.safetensors")) == shards
    assert configuration.check(target).quantization_config["bits"] == 2
    assert {path.name for path in source.glob("*token*")} <= {p.name for p in target.iterdir()}


def test_work_that_cannot_be_done_names_the_layer(made):
    with pytest.raises(QlabError, match="(up|q)_proj has 64 inputs, which groups of 48 do not"):
        made(RoundToNearest(4, 48))
    with pytest.raises(QlabError, match="q_proj: GPTQ needs inputs to calibrate on"):
        made(Gptq(4, 64), [])
