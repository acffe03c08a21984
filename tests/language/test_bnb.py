"""bitsandbytes' quantizers: bounds of their rounding, folders that transformers itself loads."""

import pytest
import tiny_llama
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from qlab.language import bnb, llama, streaming

NAMES = ("bnb_int8", "bnb_nf4", "bnb_fp4")
# Half the largest distance of neighbours among the 16 values, as a share of the block's largest.
WORST = {"bnb_nf4": (1 - 0.6961928) / 2, "bnb_fp4": 1 / 6}


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(128, 96, bias=False)


@pytest.mark.parametrize("name", ["bnb_nf4", "bnb_fp4"])
def test_four_bits_round_to_the_nearest_of_their_values(linear, name):
    weight, dense = linear.weight.detach(), bnb.METHODS[name].quantize(linear).dense
    largest = weight.reshape(-1, bnb.BLOCK).abs().amax(1, keepdim=True)
    error = (weight - dense).abs().reshape(-1, bnb.BLOCK)
    assert (error <= largest * WORST[name] + 1e-6).all()
    assert len(torch.unique((dense.reshape(-1, bnb.BLOCK) / largest).round(decimals=3))) <= 16


def test_eight_bits_round_to_half_a_step_of_each_row(linear):
    weight, dense = linear.weight.detach(), bnb.METHODS["bnb_int8"].quantize(linear).dense
    largest = weight.abs().amax(1, keepdim=True)
    rounded_to_half = 2**-11 * weight.abs()
    # Beside half a step: the weights and the row's largest are rounded to float16 first.
    assert ((weight - dense).abs() <= largest * 1.001 / 127 / 2 + rounded_to_half).all()


def loaded(folder, **more):
    """The folder by transformers alone."""
    more |= {"device_map": {"": "cpu"}, "torch_dtype": torch.float32}
    return AutoModelForCausalLM.from_pretrained(folder, **more).eval()


@pytest.mark.parametrize("name", NAMES)
def test_transformers_loads_the_folder(source, made, name):
    folder = made(name)
    packed, dense = bnb.load_packed(folder), streaming.load_dense(folder)
    tokens = torch.arange(60)[None]
    with torch.no_grad():
        theirs, ours, same_weights, exact = (
            model(tokens).logits for model in (loaded(folder), packed, dense, llama.load(source))
        )
    assert torch.equal(theirs, ours)
    assert type(packed.model.layers[1].mlp.down_proj).__module__.startswith("bitsandbytes")
    assert packed.lm_head.weight is packed.model.embed_tokens.weight
    # int8 rounds its inputs too, and the 4-bit CPU kernel may multiply in bfloat16.
    assert (ours - same_weights).norm() / same_weights.norm() < (
        0.05 if name == "bnb_int8" else 0.02
    )
    assert (same_weights - exact).norm() / exact.norm() > 0.005  # the rounding of the weights shows


@pytest.mark.parametrize("name", NAMES)
def test_the_same_numbers_as_transformers_own_quantization(source, made, name):
    settings = bnb.METHODS[name].config()
    settings.pop("quant_method")
    theirs = loaded(source, quantization_config=BitsAndBytesConfig(**settings)).state_dict()
    ours = tiny_llama.stored(made(name))
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
    assert set(theirs) - set(ours) == {"lm_head.weight"}
