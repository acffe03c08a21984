"""The few states that are computed are those of the whole model."""

import numpy as np
import pytest
import tiny_llama
import torch

from qlab.language import llama_states

WANTED = [1, 5, 3, 1]


def rows() -> list[list[int]]:
    random = np.random.default_rng(1)
    return [random.integers(0, 300, n).tolist() for n in (40, 5, 17, 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_hidden_layers": 1},
        {"num_hidden_layers": 4, "num_key_value_heads": 4},
        {"attention_bias": True, "mlp_bias": True, "head_dim": 16},
    ],
)
def test_states_are_those_of_each_row_alone_through_the_whole_model(tmp_path, changes):
    model = tiny_llama.write(tmp_path, **changes)
    with torch.no_grad():
        found = llama_states.last_states(model, rows(), WANTED)
        alone = [
            model.model(torch.tensor([row])).last_hidden_state[0, -n:]
            for row, n in zip(rows(), WANTED, strict=True)
        ]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_the_last_layer_is_asked_for_the_wanted_positions_alone(tmp_path):
    model = tiny_llama.write(tmp_path)
    shapes = {}
    hooks = [
        layer.mlp.register_forward_hook(lambda _, x, __, i=i: shapes.update({i: x[0].shape[:2]}))
        for i, layer in enumerate(model.model.layers)
    ]
    with torch.no_grad():
        llama_states.last_states(model, rows(), WANTED)
    for hook in hooks:
        hook.remove()
    assert shapes == {0: (4, 40), 1: (4, 5)}
