"""Laws of GPTQ and round-to-nearest."""

import pytest
import torch

from qlab.core.errors import QlabError
from qlab.language import gptq_format
from qlab.language.gptq import Gptq, RoundToNearest

RANDOM = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(64, 128, generator=RANDOM)
# Inputs, correlated as a network's are: of rank 32, and some noise.
X = torch.randn(1, 400, 32, generator=RANDOM) @ torch.randn(32, 128, generator=RANDOM)
X += 0.3 * torch.randn(1, 400, 128, generator=RANDOM)


@pytest.mark.parametrize("bits", gptq_format.BITS)
def test_gptq_beats_rounding_and_with_an_identity_hessian_it_is_rounding(bits):
    weight, method = WEIGHT.clone(), Gptq(bits, 64)
    seen, blind = method.observe(weight), method.observe(weight)
    seen.add_batch(X, None)
    blind.H, blind.nsamples = torch.eye(128), 1
    nearest = RoundToNearest(bits, 64).quantize(weight)
    made = [method.quantize(weight, seen).dense, nearest.dense]
    ours, theirs = (((dense - weight) @ X[0].T).pow(2).sum() for dense in made)
    assert ours < 0.7 * theirs
    found = method.quantize(weight, blind)
    assert torch.equal(found.dense, nearest.dense) and torch.equal(weight, WEIGHT)
    for name, tensor in nearest.tensors.items():
        assert torch.equal(found.tensors[name], tensor)


@pytest.mark.parametrize("bits", gptq_format.BITS)
def test_rounding_is_off_by_half_a_step_at_most_and_stays_when_done_again(bits):
    method = RoundToNearest(bits, 128)
    first = method.quantize(WEIGHT)
    scale = first.tensors["scales"].float().t()
    off = (first.dense - WEIGHT).abs()
    # The topmost level is one short of symmetric: there a weight may be off by a whole step.
    inside = scale * (2 ** (bits - 1) - 0.5) > WEIGHT
    assert (off <= 0.501 * scale)[inside].all() and (off <= 1.002 * scale).all()
    levels = gptq_format.integers(first.tensors["qweight"], bits)
    if (levels == 0).any(0).all():  # else the grid of the rounded weights is another one
        again = method.quantize(first.dense)
        assert torch.equal(again.tensors["qweight"], first.tensors["qweight"])


def test_inputs_that_overflowed_contradict_each_other_or_are_missing():
    method = Gptq(4, 64)
    without, infinite, indefinite = (method.observe(WEIGHT) for _ in range(3))
    infinite.add_batch(torch.full((1, 5, 128), float("inf")), None)
    indefinite.add_batch(X, None)
    indefinite.H[7, 8] = indefinite.H[8, 7] = 1e4
    for observer, sentence in (
        (without, "needs inputs to calibrate on"),
        (infinite, "inputs of a layer overflowed"),
        (indefinite, "no positive definite Hessian: they are too few"),
    ):
        with pytest.raises(QlabError, match=sentence):
            method.quantize(WEIGHT, observer)
