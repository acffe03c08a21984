"""The guard reads a configuration and a machine, made up here, and says where to run."""

from types import SimpleNamespace

import pytest
import tiny_llama
from transformers import LlamaConfig

from qlab.core.errors import QlabError
from qlab.language import device

# The published config.json of Llama-3.2-3B: 3,212,749,824 parameters, the tied head counted once.
LLAMA_3B = LlamaConfig(
    vocab_size=128256, hidden_size=3072, intermediate_size=8192, num_hidden_layers=28,
    num_attention_heads=24, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
)  # fmt: skip
SMALL = LlamaConfig(**tiny_llama.SHAPE)
CU128 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
P100 = device.Gpu("Tesla P100-PCIE-16GB", (6, 0), 16 * 10**9, CU128)
T4 = device.Gpu("Tesla T4", (7, 5), 15 * 10**9, CU128)
H100 = device.Gpu("NVIDIA H100", (9, 0), 80 * 10**9, CU128)
NEED, HOST = 3.2127 * 2 * device.SPARE, 64 * 10**9


@pytest.fixture
def choose(monkeypatch):
    def chosen(config, gpu=None, asked="auto", free=HOST):
        monkeypatch.setattr(device, "look", lambda: gpu)
        memory = SimpleNamespace(available=free)
        monkeypatch.setattr(device.psutil, "virtual_memory", lambda: memory)
        return device.choose(config, asked)

    return chosen


def test_kernels_for_a_capability():
    for capability, kernels, fit in (
        ((6, 0), ("sm_50", "sm_60", "sm_70"), True),  # a P100 with a cu126 wheel
        ((8, 9), ("sm_80",), True),  # machine code runs on later minors
        ((8, 0), ("sm_86",), False),  # not on earlier ones
        ((9, 0), ("sm_80",), False),  # nor on another major
        ((9, 0), ("compute_80",), True),  # portable code runs on all later ones
    ):
        assert device.has_kernels(capability, kernels) == fit, (capability, kernels)


def test_a_fit_gpu_is_taken_and_an_unfit_one_leaves_a_small_model_to_the_cpu(choose):
    assert choose(LLAMA_3B, H100)[:2] == ("cuda", "bfloat16")
    assert choose(LLAMA_3B, T4)[:2] == choose(LLAMA_3B, T4, "cuda")[:2] == ("cuda", "float16")
    assert f"about {NEED:.1f} GB of its" in choose(LLAMA_3B, T4).sentence
    assert choose(LLAMA_3B, P100, "cpu")[:2] == choose(SMALL, P100)[:2] == ("cpu", "float32")
    assert choose(SMALL, P100).sentence.startswith(device.unfit(P100, 0))


FULL = T4._replace(free=int(NEED * 0.99e9))
REFUSED = [
    (LLAMA_3B, P100, "auto", HOST, "compute capability 6.0, .* T4 x2\\), or set device=cpu"),
    (SMALL, P100, "cuda", HOST, "compute capability 6.0, .* T4 x2\\), or set device=cpu"),
    (LLAMA_3B, FULL, "auto", HOST, f"about {NEED:.1f} GB are"),
    (LLAMA_3B, None, "auto", 8 * 10**9, r"about 19\.\d GB of memory .* 8\.0 GB are free"),
]


@pytest.mark.parametrize(("config", "gpu", "asked", "free", "sentence"), REFUSED)
def test_refusals_say_what_to_do(choose, config, gpu, asked, free, sentence):
    with pytest.raises(QlabError, match=sentence):
        choose(config, gpu, asked, free)
