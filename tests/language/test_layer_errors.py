"""Relative output errors against the layers themselves."""

import pytest
import tiny_llama
import torch

from qlab.language import layer_errors, llama, streaming


def test_the_error_is_that_of_the_outputs_of_the_float_models_layer(source, made):
    """Found with the whole float model in memory and hooks, without any Hessian."""
    folder = made("rtn_w2_g64")
    table = layer_errors.layer_errors(source, {"rtn_w2_g64": folder}, tiny_llama.PASSAGES)
    model, other = llama.load(source), streaming.load_dense(folder).model.layers[1]
    linears = {kind: model.model.layers[1].get_submodule(kind) for kind in llama.LINEARS}
    seen = {kind: [] for kind in linears}
    for kind, linear in linears.items():
        linear.register_forward_pre_hook(lambda m, x, kind=kind: seen[kind].append(x[0][0]))
    with torch.no_grad():
        for tokens in tiny_llama.PASSAGES:
            model(torch.tensor([tokens]))
        for kind, linear in linears.items():
            x, weight = torch.cat(seen[kind]).double(), linear.weight
            wrong = x @ (other.get_submodule(kind).weight - weight).double().T
            expected = float(wrong.norm() / (x @ weight.double().T).norm())
            [found] = table[(table.layer == 1) & (table.linear == kind)].relative_error
            assert found == pytest.approx(expected, rel=1e-3), kind


def test_no_change_is_no_error_and_a_dead_layer_has_none():
    weight, hessian = torch.randn(3, 4), torch.eye(4)
    assert layer_errors.relative_error(weight, weight.clone(), hessian) == 0
    assert layer_errors.relative_error(weight, 2 * weight, hessian) == pytest.approx(1)
    assert layer_errors.relative_error(0 * weight, weight, hessian) == 0
