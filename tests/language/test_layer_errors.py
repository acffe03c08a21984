"""Relative output errors, against the layers themselves."""

import pytest
import tiny_llama
import torch

from qlab.language import decoder, layer_errors, streaming
from qlab.language.gptq import RoundToNearest

PASSAGES = tiny_llama.PASSAGES


@torch.no_grad()
def test_the_error_is_that_of_the_outputs_of_the_float_models_layer(source, made, tmp_path):
    """Found with the whole float model in memory and hooks, without any Hessian."""
    folders = {"rtn_w2_g64": made(RoundToNearest(2, 64)), "bnb_nf4": tmp_path / "nf4"}
    tiny_llama.bitsandbytes(source, folders["bnb_nf4"], load_in_4bit=True)
    table = layer_errors.layer_errors(source, folders, PASSAGES)
    model, seen = decoder.load(source), {}
    linears = decoder.linears(decoder.blocks(model)[1][1])
    for name, linear in linears.items():
        seen[name] = []
        linear.register_forward_pre_hook(lambda _, x, to=seen[name]: to.append(x[0][0]))
    for tokens in PASSAGES:
        model(torch.tensor([tokens]))
    for variant, folder in folders.items():
        other = streaming.load_dense(folder)
        rows = table[(table.layer == 1) & (table.variant == variant)].set_index("linear")
        assert len(linears) == len(rows) == 7
        for name, linear in linears.items():
            x, weight = torch.cat(seen[name]).double(), linear.weight.double()
            wrong = other.get_submodule(f"model.layers.1.{name}").weight
            expected = (x @ (wrong - weight).double().T).norm() / (x @ weight.T).norm()
            assert rows.relative_error[name] == pytest.approx(float(expected), rel=1e-3)


def test_a_layer_of_zeros_has_no_error():
    weight, hessian = torch.randn(3, 4), torch.eye(4)
    assert layer_errors.relative_error(weight, 2 * weight, hessian) == pytest.approx(1)
    assert layer_errors.relative_error(0 * weight, weight, hessian) == 0
