"""A model folder says what it is in old words or new ones; what it is not is one sentence."""

import json
import os

import pytest
import tiny_llama
import torch
import transformers as hf
from tiny_llama import SHAPE, edit
from tokenizers import processors

from qlab.core.errors import QlabError
from qlab.language import checkpoint, lambada, streaming
from qlab.language.checkpoint import INDEX, WEIGHTS

LAYERS = {"head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]}
BASE = {"rope_type": "default", "rope_theta": 5e3}
HALF = BASE | {"partial_rotary_factor": 0.5}
LINEAR = {"rope_type": "linear", "factor": 2.0}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 |= {"rope_type": "llama3", "factor": 4.0}
LOCAL = {"full_attention": BASE | LINEAR, "rope_theta": None, "rope_type": "default",
         "sliding_attention": BASE | {"rope_theta": 50.0}}  # fmt: skip
BY_LAYER = hf.Gemma3TextConfig(
    **SHAPE, **LAYERS, rope_theta=5e3, rope_local_base_freq=50.0, rope_scaling=LINEAR
)
PHI3 = hf.Phi3Config(**SHAPE, pad_token_id=0, rope_theta=5e3, partial_rotary_factor=0.5)
# In the words of transformers 4, and what transformers 5.9 writes of the same in `rope_parameters`.
SPELLINGS = {
    "llama3": (hf.LlamaConfig(**SHAPE, rope_theta=5e3, rope_scaling=LLAMA3), BASE | LLAMA3),
    "by layer": (BY_LAYER, LOCAL),
    "phi3": (PHI3, HALF),
    "neox": (hf.GPTNeoXConfig(**SHAPE, rotary_emb_base=5e3, rotary_pct=0.5), HALF),
}
OLD = ("rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor", "rotary_pct",
       "rotary_emb_base", "torch_dtype")  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    tiny_llama.write(tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_transformers_5_writes_means_what_it_meant_before(tmp_path, name):
    config, rope = SPELLINGS[name]
    tiny_llama.save(config, tmp_path)
    before = tiny_llama.logits(streaming.load_dense(tmp_path))
    assert torch.equal(before, tiny_llama.logits(tiny_llama.theirs(tmp_path)))
    edit(tmp_path / "config.json", OLD, dtype="float32", rope_parameters=rope)
    assert torch.equal(tiny_llama.logits(streaming.load_dense(tmp_path)), before)
    edit(tmp_path / "config.json", ["rope_parameters"])  # as if it were passed over
    assert not torch.allclose(tiny_llama.logits(streaming.load_dense(tmp_path)), before, atol=1e-3)


UNSAID = [  # positions that cannot be said in the old words
    (BY_LAYER, {"full_attention": BASE, "sliding_attention": BASE | LINEAR}),
    (hf.GPT2Config(300, n_embd=64, n_layer=2, n_head=4), BASE),
]


@pytest.mark.parametrize(("config", "rope"), UNSAID)
def test_what_transformers_4_cannot_mean_is_refused(tmp_path, config, rope):
    config.save_pretrained(tmp_path)
    edit(tmp_path / "config.json", OLD, rope_parameters=rope)
    with pytest.raises(QlabError, match="what the installed transformers cannot read ..?rope_"):
        checkpoint.read_config(tmp_path)


def test_code_in_the_folder_is_never_run(folder):
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass T: pass\n")
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]})
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "evil.T", "AutoConfig": "e.T"})
    streaming.load_dense(folder)  # a family that transformers has
    edit(folder / "config.json", model_type="own")
    with pytest.raises(QlabError, match="Code that a folder brings is never run"):
        streaming.load_dense(folder)
    assert not (folder / "ran").exists()


def test_weights_that_are_not_the_configurations_are_never_drawn_at_random(folder):
    tensors, name = tiny_llama.stored(folder), "model.layers.1.mlp.up_proj.weight"
    tiny_llama.rewrite(folder, {n: t for n, t in tensors.items() if n != name})
    with pytest.raises(QlabError, match=f"lack the tensor {name}"):
        streaming.load_dense(folder)
    tiny_llama.rewrite(folder, tensors)
    edit(folder / "config.json", intermediate_size=96)
    with pytest.raises(RuntimeError, match=r"mlp.gate_proj.weight: .*Size\(\[192, 64\]\) from"):
        streaming.load_dense(folder)


def other(kind, named):
    return lambda folder: edit(folder / "config.json", model_type=kind, architectures=[named])


def missing_shard(folder):
    tiny_llama.write(folder, shard="20KB")
    next(folder.glob("model-00002*")).unlink()


LEADS_AWAY = json.dumps({"weight_map": {"model.norm.weight": "/elsewhere/none.safetensors"}})
SPOILT = [
    (other("bert", "BertForMaskedLM"), "holds BertForMaskedLM; expected a causal decoder"),
    (other("llama", "LlamaForSequenceClassification"), "holds LlamaForSequenceClass.*; expected"),
    (other("gemma3", "Gemma3ForConditionalGeneration"), "holds Gemma3ForCond.*; expected"),
    (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer, none of tokenizer.json,"),
    (lambda f: (f / "config.json").unlink(), "holds no config.json; expected a causal"),
    (lambda f: (f / "tokenizer_config.json").write_text("[]"), "_config.json holds no JSON object"),
    (lambda f: (f / WEIGHTS).rename(f / "pytorch_model.bin"),
     r"is no whole safetensors file \(No such file.* without pickles \(\.bin\)"),
    (missing_shard, r"model-00002-of-.* is no whole safetensors file \(No such file"),
    (lambda f: (f / INDEX).write_text(LEADS_AWAY), r"m/none\.safetensors is no whole safetensors"),
    (lambda f: os.truncate(f / WEIGHTS, 1000), r"model\.safetensors is no whole safetensors file"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "sentence"), SPOILT)
def test_spoilt_folders(folder, spoil, sentence):
    spoil(folder)
    with pytest.raises(QlabError, match=sentence):
        checkpoint.read_config(folder)
        checkpoint.load_tokenizer(folder)
        checkpoint.Weights(folder)


def with_ends(folder, template="<s> $A", **settings):
    """The folder's tokenizer, with a template and tokens for both ends."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    ends = list(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(template, None, ends)
    tokenizer.save_pretrained(folder)
    edit(folder / "tokenizer_config.json", **settings)
    return checkpoint.load_tokenizer(folder)


@pytest.mark.parametrize("asked", [True, False])
def test_a_beginning_is_there_where_auto_tokenizer_puts_one(folder, asked):
    ours = with_ends(folder, tokenizer_class="LlamaTokenizerFast", add_bos_token=asked)
    theirs = hf.AutoTokenizer.from_pretrained(folder)
    assert ours("a b")["input_ids"] == theirs("a b")["input_ids"]
    assert lambada.begins(ours) == asked


def test_a_tokenizer_that_transformers_5_saved_gives_the_same_tokens(folder):
    expected = with_ends(folder)("so it is")["input_ids"]
    words = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<image>"]}
    edit(folder / "tokenizer_config.json", ["added_tokens_decoder"], **words, backend="tokenizers")
    found = checkpoint.load_tokenizer(folder)
    assert found("so it is")["input_ids"] == expected and lambada.begins(found)
    assert (found.bos_token, found.eos_token) == ("<s>", "</s>")


def test_an_end_that_the_tokenizer_appends_is_never_judged(folder):
    passages = [lambada.split(text, "") for text in ("it is so", "<s>it spells its beginning")]
    plain = lambada.encode(passages, with_ends(folder), 100)
    assert lambada.encode(passages, with_ends(folder, "<s> $A </s>"), 100) == plain
