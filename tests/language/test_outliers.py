"""Outlier channels change weights, not the function."""

import tiny_llama
import torch

from qlab.language import outliers


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([[1, 5, 9, 200, 3]])).logits


def test_no_output_changes_but_every_scaled_weight_does(tmp_path):
    model = tiny_llama.write(tmp_path)
    before, weights = logits(model), {n: p.clone() for n, p in model.named_parameters()}
    outliers.spread(model, seed=3, strength=0.7)
    assert torch.allclose(logits(model), before, rtol=1e-4, atol=1e-4)
    unchanged = [n for n, p in model.named_parameters() if torch.equal(p, weights[n])]
    assert unchanged == ["model.embed_tokens.weight", "model.norm.weight"]
