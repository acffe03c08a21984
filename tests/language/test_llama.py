"""A Llama folder is read as transformers reads it, also block by block; a bad one is a sentence."""

import json

import pytest
import tiny_llama
import torch
from transformers import LlamaForCausalLM

from qlab.core.errors import QlabError
from qlab.language import llama

TOKENS = torch.arange(34).reshape(2, 17) * 7 % 300


@pytest.fixture
def folder(tmp_path):
    """A small folder to spoil."""
    tiny_llama.write(tmp_path / "m")
    return tmp_path / "m"


def edit(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("shard", ["5GB", "20KB"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_loaded_model_gives_transformers_logits(tmp_path, shard, tied):
    theirs = tiny_llama.write(tmp_path, shard=shard, tie_word_embeddings=tied)
    assert (tmp_path / llama.INDEX).is_file() == (shard == "20KB")
    ours = llama.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(ours(TOKENS).logits, theirs(TOKENS).logits)
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) == tied
    assert not ours.training and ours.config._attn_implementation == "sdpa"


def test_all_blocks_alone_give_the_logits_of_the_whole(tmp_path):
    whole = tiny_llama.write(tmp_path, shard="20KB")
    config = llama.check(tmp_path)
    weights = llama.Weights(tmp_path)
    with torch.no_grad():
        hidden = torch.nn.functional.embedding(TOKENS, weights.read("model.embed_tokens.weight"))
        positions = llama.rotary(config, TOKENS.shape[1])
        for index in range(config.num_hidden_layers):
            layer = llama.block(tmp_path, weights, index)
            assert not layer.training
            hidden = llama.run_block(layer, hidden, positions)
        assert torch.equal(whole.lm_head(whole.model.norm(hidden)), whole(TOKENS).logits)


def test_half_precision_keeps_the_rotation_in_float32(tmp_path):
    tiny_llama.write(tmp_path)
    model = llama.load(tmp_path, "bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32
    theirs = LlamaForCausalLM.from_pretrained(tmp_path).to(torch.bfloat16).eval()
    theirs.model.rotary_emb = model.model.rotary_emb  # .to() rounded theirs
    with torch.no_grad():
        assert torch.equal(model(TOKENS).logits, theirs(TOKENS).logits)


def test_code_in_the_folder_is_never_run(folder):
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass T: pass\n")
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]})
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "evil.T", "AutoConfig": "e.T"})
    llama.load_tokenizer(folder)
    llama.load(folder)
    assert not (folder / "ran").exists()


def test_weights_that_are_not_the_configurations_are_never_drawn_at_random(folder):
    edit(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(QlabError, match=r"lack the tensor model\.layers\.2\."):
        llama.load(folder)
    edit(folder / "config.json", num_hidden_layers=2, intermediate_size=96)
    with pytest.raises(RuntimeError, match="size mismatch for model.layers.0.mlp"):
        llama.load(folder)


def test_a_quantized_folder_is_left_to_its_own_loader(folder):
    edit(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    edit(folder / "config.json", intermediate_size=96)  # packed tensors have shapes of their own
    assert llama.quantized(llama.check(folder))
    with pytest.raises(QlabError, match="is quantized already; give the float model"):
        llama.load(folder)
