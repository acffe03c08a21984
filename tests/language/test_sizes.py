"""Bytes by part add up to the files, and each tensor belongs to one part."""

import pytest
import tiny_llama
import torch
from safetensors.torch import save_file

from qlab.language import configuration, decoder, sizes, streaming
from qlab.language.gptq import Gptq, RoundToNearest


def test_parts_add_up_to_the_files(tmp_path):
    tensors = {
        "model.embed_tokens.weight": torch.zeros(10, 4, dtype=torch.bfloat16),
        "model.layers.0.mlp.up_proj.qweight": torch.zeros(3, dtype=torch.int32),
        "model.layers.0.mlp.up_proj.scales": torch.zeros(5, dtype=torch.float16),
        "model.layers.0.mlp.up_proj.qzeros": torch.zeros(2, dtype=torch.int32),
        "model.norm.weight": torch.zeros(4),
    }
    files = [tmp_path / "model.safetensors", tmp_path / "config.json"]
    save_file(tensors, files[0])
    files[1].write_text('{"a": 1}')
    (tmp_path / "tokenizer.json").write_text("long" * 100)
    found = sizes.split(tmp_path)
    assert found["embedding"] == 80 and found["scales"] == 18 and found["body"] == 12 + 16
    assert sum(found.values()) == sum(f.stat().st_size for f in files)


def library(**settings):
    return lambda folder, made: tiny_llama.bitsandbytes(folder, made, **settings)


def rounded(how):
    return lambda folder, made: streaming.quantize_folder(folder, how, [[1, 2, 3]] * 4, made)


NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


@pytest.mark.parametrize(
    "make, bits, group_size",
    [
        (rounded(Gptq(8, 64)), 8, 64),
        (rounded(RoundToNearest(3, 64)), 3, 64),
        (rounded(RoundToNearest(2, 32)), 2, 32),
        (library(load_in_8bit=True), 8, None),
        (library(**NF4), 4, None),
    ],
    ids=["gptq8", "rtn3", "rtn2", "int8", "nf4"],
)
@pytest.mark.parametrize("tied", [True, False])
def test_the_size_is_known_before_it_is_made(tmp_path, make, bits, group_size, tied):
    tiny_llama.write(tmp_path / "float", **tiny_llama.WIDE, tie_word_embeddings=tied)
    (tmp_path / "made").mkdir()
    make(tmp_path / "float", tmp_path / "made")
    found = sizes.split(tmp_path / "made")
    model = decoder.empty(configuration.read(tmp_path / "float"))
    tensors = sum(found.values()) - found["container"]
    assert tensors == pytest.approx(
        sizes.expected(model, bits, group_size), rel=0.05
    )  # tables of a tiny model
