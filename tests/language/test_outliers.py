"""Outlier channels change weights, not the function."""

import pytest
import tiny_llama
import torch

from qlab.language import outliers


@pytest.fixture
def model(tmp_path):
    return tiny_llama.write(tmp_path)


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([[1, 5, 9, 200, 3]])).logits


def test_no_output_changes_but_every_scaled_weight_does(model):
    before, weights = logits(model), {n: p.clone() for n, p in model.named_parameters()}
    outliers.spread(model, seed=3, strength=0.7)
    assert torch.allclose(logits(model), before, rtol=1e-4, atol=1e-4)
    unchanged = [n for n, p in model.named_parameters() if torch.equal(p, weights[n])]
    assert unchanged == ["model.embed_tokens.weight", "model.norm.weight"]


def test_the_same_seed_takes_it_back_and_another_does_not(model):
    weight = model.model.layers[1].mlp.down_proj.weight.clone()
    outliers.spread(model, 3, 0.7)
    outliers.spread(model, 3, -0.7)
    assert torch.allclose(model.model.layers[1].mlp.down_proj.weight, weight, rtol=1e-5)
    outliers.spread(model, 3, 0.7)
    outliers.spread(model, 4, -0.7)
    assert not torch.allclose(model.model.layers[1].mlp.down_proj.weight, weight, rtol=0.1)
