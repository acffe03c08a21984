"""Laws of GPTQ and round-to-nearest, and damping."""

import pytest
import torch

from qlab.core.errors import QlabError
from qlab.language import gptq
from qlab.language.gptq import Gptq, RoundToNearest


def weights(rows=64, columns=128) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def inputs(columns=128, tokens=400, seed=1) -> torch.Tensor:
    """Correlated, as a network's are: [1, tokens, columns] of rank columns / 4 and some noise."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns // 4, columns, generator=random)
    signal = torch.randn(tokens, columns // 4, generator=random) @ mixing
    return (signal + 0.3 * torch.randn(tokens, columns, generator=random))[None]


def quantized(method, weight, x=None):
    observer = method.observe(weight)
    if method.needs_inputs:
        observer.add_batch(x, x @ weight.T)
    return method.quantize(weight, observer)


def output_error(dense, weight, x) -> float:
    return float(((dense - weight) @ x[0].T).pow(2).sum())


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_gptq_is_no_worse_than_rounding_on_its_own_objective(bits):
    weight, x = weights(), inputs()
    ours = output_error(quantized(Gptq(bits, 64), weight, x).dense, weight, x)
    nearest = output_error(quantized(RoundToNearest(bits, 64), weight, x).dense, weight, x)
    assert ours < 0.7 * nearest
    assert torch.equal(weight, weights())  # itself is not changed


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_with_an_identity_hessian_gptq_is_rounding(bits):
    weight = weights()
    method = Gptq(bits, 64)
    observer = method.observe(weight)
    observer.H, observer.nsamples = torch.eye(128), 1
    found = method.quantize(weight, observer)
    expected = quantized(RoundToNearest(bits, 64), weight)
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor)
    torch.testing.assert_close(found.dense, expected.dense, rtol=0, atol=0)


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_rounding_is_off_by_half_a_step_at_most_and_stays_when_done_again(bits):
    weight = weights()
    first = quantized(RoundToNearest(bits, 128), weight)
    scale = first.tensors["scales"].float().t()
    off = (first.dense - weight).abs()
    # The topmost level is one short of symmetric: there a weight may be off by a whole step.
    inside = weight < scale * (2 ** (bits - 1) - 0.5)
    assert (off <= 0.501 * scale)[inside].all() and (off <= 1.002 * scale).all()
    levels = gptq.integers(first.tensors["qweight"], bits)
    if (levels == 0).any(0).all():  # else the grid of the rounded weights is another one
        again = quantized(RoundToNearest(bits, 128), first.dense)
        assert torch.equal(again.tensors["qweight"], first.tensors["qweight"])


def test_inputs_that_are_always_zero_do_no_harm():
    weight, x = weights(), inputs()
    x[..., 5] = 0
    assert torch.isfinite(quantized(Gptq(4, 64), weight, x).dense).all()


def test_columns_are_compensated_as_well_as_can_be():
    """Against brute force: with the first column rounded, least squares over all others."""
    weight, x = weights(32, 32), inputs(32)
    observer = Gptq(2, 32).observe(weight)
    observer.add_batch(x, None)
    seen = []
    grid = observer.quantizer
    quantize = grid.quantize
    grid.quantize = lambda column: seen.append(column.flatten().clone()) or quantize(column)
    hessian = observer.H.double() + 0.01 * observer.H.diagonal().mean() * torch.eye(32)
    Gptq(2, 32).quantize(weight, observer)
    first, second = seen[:2]
    torch.testing.assert_close(first, weight[:, 0])
    moved = (quantize(first[:, None])[:, 0] - first).double()
    best = torch.linalg.solve(hessian[1:, 1:], -hessian[1:, :1] * moved)
    torch.testing.assert_close(second.double(), weight[:, 1] + best[0], rtol=1e-3, atol=1e-4)


def test_inputs_that_overflowed_contradict_each_other_or_are_missing():
    weight, method = weights(), Gptq(4, 64)
    with pytest.raises(QlabError, match="needs inputs to calibrate on"):
        method.quantize(weight, method.observe(weight))
    infinite, indefinite = method.observe(weight), method.observe(weight)
    infinite.add_batch(torch.full((1, 5, 128), float("inf")), None)
    indefinite.add_batch(inputs(), None)
    indefinite.H[7, 8] = indefinite.H[8, 7] = 1e4
    told = "inputs of a layer overflowed", "no positive definite Hessian: they are too few"
    for observer, sentence in zip((infinite, indefinite), told, strict=True):
        with pytest.raises(QlabError, match=sentence):
            method.quantize(weight, observer)
