"""Bytes by part add up to the files, and each tensor belongs to one part."""

import pytest
import tiny_llama
import torch
from safetensors.torch import save_file

from qlab.language import llama, methods, sizes, streaming


def test_parts_add_up_to_the_files(tmp_path):
    tensors = {
        "model.embed_tokens.weight": torch.zeros(10, 4),
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
    assert found["embedding"] == 160 and found["scales"] == 18 and found["body"] == 12 + 16
    assert sum(found.values()) == sum(f.stat().st_size for f in files)


@pytest.mark.parametrize(
    "variant, slack",  # nf4 keeps tables and settings too
    [("gptq_w8_g64", 0), ("rtn_w3_g64", 0), ("rtn_w2_g64", 0), ("bnb_int8", 0), ("bnb_nf4", 0.02)],
)
@pytest.mark.parametrize("tied", [True, False])
def test_the_size_is_known_before_it_is_made(tmp_path, variant, slack, tied):
    tiny_llama.write(tmp_path / "float", **tiny_llama.WIDE, tie_word_embeddings=tied)
    config = llama.read_config(tmp_path / "float")
    method = methods.method(variant)
    streaming.quantize_folder(tmp_path / "float", method, [[1, 2, 3]] * 4, tmp_path / "made")
    found = sizes.split(tmp_path / "made")
    tensors = sum(found.values()) - found["container"]
    assert tensors == pytest.approx(sizes.expected(variant, config, "float32"), rel=slack)
