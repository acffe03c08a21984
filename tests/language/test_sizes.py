"""Bytes by part add up to the files, and each tensor belongs to one part."""

import torch
from safetensors.torch import save_file

from qlab.language import measure


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
    found = measure.split_bytes(tmp_path)
    assert found["embedding"] == 80 and found["scales"] == 18 and found["body"] == 12 + 16
    assert sum(found.values()) == sum(f.stat().st_size for f in files)
