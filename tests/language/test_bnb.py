"""bitsandbytes as the notebook uses it: what its folders hold is read back, within known bounds."""

import pytest
import tiny_llama
import torch

from qlab.core.errors import QlabError
from qlab.language import bnb, decoder, streaming

# Half the largest distance of neighbours among the 16 values, as a share of the block's largest.
WORST = {"nf4": (1 - 0.6961928) / 2, "fp4": 1 / 6}


@pytest.fixture(params=["int8", *WORST])
def read_back(request, source, tmp_path):
    """How it was stored, and each linear layer's weight before and after."""
    settings = {"load_in_8bit": True}
    if request.param != "int8":
        settings = {"load_in_4bit": True, "bnb_4bit_quant_type": request.param}
    tiny_llama.bitsandbytes(source, tmp_path, **settings)
    dense, float_one = streaming.load_dense(tmp_path), decoder.load(source)
    return request.param, [
        [model.get_submodule(name).weight.detach() for model in (float_one, dense)]
        for name in decoder.shapes(float_one.config)
    ]


def test_weights_are_rounded_to_the_nearest_value(read_back):
    kind, pairs = read_back
    assert len(pairs) == 14
    for before, after in pairs:
        if kind == "int8":  # half a step of each row; all is rounded to float16 first
            largest = before.abs().amax(1, keepdim=True)
            assert ((before - after).abs() <= largest * 1.001 / 254 + 2**-11 * before.abs()).all()
            continue
        before, after = (weight.reshape(-1, bnb.BLOCK) for weight in (before, after))
        largest = before.abs().amax(1, keepdim=True)
        assert ((before - after).abs() <= largest * WORST[kind] + 1e-6).all()
        assert 8 < len(torch.unique((after / largest).round(decimals=3))) <= 16


def test_widths_that_its_kernel_cannot_take_are_refused():
    with pytest.raises(QlabError, match="up has 96 inputs and 30 outputs. Take 8 bits"):
        bnb.check_four_bits({"fine": (32, 64), "up": (30, 96)})
