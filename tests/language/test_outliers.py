"""Outlier channels change weights, not the function."""

import pytest
import tiny_llama
import torch
from scipy import stats

from qlab.language import layer_errors, outliers


def test_no_output_changes_but_every_scaled_weight_does_and_the_seed_takes_it_back(tmp_path):
    model = tiny_llama.write(tmp_path)
    before, weights = tiny_llama.logits(model), {n: p.clone() for n, p in model.named_parameters()}
    outliers.spread(model, seed=3, strength=0.7)
    assert torch.allclose(tiny_llama.logits(model), before, rtol=1e-4, atol=1e-4)
    unchanged = [n for n, p in model.named_parameters() if torch.equal(p, weights[n])]
    assert unchanged == ["model.embed_tokens.weight", "model.norm.weight"]
    outliers.spread(model, 3, -0.7)
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.allclose(model.get_parameter(name), weights[name], rtol=1e-5)


def test_kurtosis_is_that_of_the_layers_weights_and_inputs(tmp_path):
    """Found with the whole model in memory and a hook; more where channels are spread."""
    model, found = tiny_llama.write(tmp_path), {}
    for strength in (0.0, 0.7):
        outliers.spread(model, 3, strength)
        model.save_pretrained(tmp_path)
        seen, layer = [], model.model.layers[1].mlp.down_proj
        hook = layer.register_forward_pre_hook(lambda _, x, kept=seen: kept.append(x[0].flatten()))
        for passage in tiny_llama.PASSAGES:
            tiny_llama.logits(model, passage)
        hook.remove()
        table = found[strength] = layer_errors.kurtoses(tmp_path, tiny_llama.PASSAGES)
        assert len(table) == 14
        row = table.set_index(["block", "linear"]).loc[(1, "mlp.down_proj")]
        assert row["weights"] == pytest.approx(
            stats.kurtosis(layer.weight.detach(), None), rel=1e-4
        )
        assert row["inputs"] == pytest.approx(stats.kurtosis(torch.cat(seen)), rel=1e-3)
    assert found[0.7]["weights"].mean() > 1 + found[0.0]["weights"].mean()
