"""The guard reads a configuration and a machine, made up here, and says where to run."""

import psutil
import pytest
import tiny_llama
from transformers import LlamaConfig, LlamaForCausalLM

from qlab.core.errors import QlabError
from qlab.language import device as guard

# The published config.json of Llama-3.2-3B; its card says 3.21 billion parameters.
LLAMA_3B = LlamaConfig(
    vocab_size=128256, hidden_size=3072, intermediate_size=8192, num_hidden_layers=28,
    num_attention_heads=24, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
)  # fmt: skip
SMALL = LlamaConfig(**tiny_llama.SHAPE)
CU128 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
P100 = guard.Gpu("Tesla P100-PCIE-16GB", (6, 0), 16 * 10**9, CU128, "2.11.0+cu128")
T4 = guard.Gpu("Tesla T4", (7, 5), 15 * 10**9, CU128, "2.11.0+cu128")
H100 = guard.Gpu("NVIDIA H100", (9, 0), 80 * 10**9, CU128, "2.11.0+cu128")
HOST = 64 * 10**9
LAMBADA = guard.Work(evaluation=5 * 450_000, calibration=128 * 100, quantized=4)
RATE = 1e11


def choose(config, gpu=None, asked="auto", free=HOST):
    return guard.choose(config, LAMBADA, asked, guard.Machine(free, gpu), RATE)


@pytest.mark.parametrize(
    ("capability", "kernels", "fit"),
    [
        ((6, 0), ("sm_75", "sm_80"), False),  # the P100 that Kaggle had, and a cu128 wheel
        ((6, 0), ("sm_50", "sm_60", "sm_70"), True),  # the same with a cu126 wheel
        ((8, 9), ("sm_80",), True),  # machine code runs on later minors
        ((8, 0), ("sm_86",), False),  # not on earlier ones
        ((9, 0), ("sm_80",), False),  # nor on another major
        ((9, 0), ("compute_80",), True),  # portable code runs on all later ones
        ((7, 5), ("compute_80",), False),
        ((9, 0), ("sm_90a",), True),
        ((12, 1), ("sm_120a",), False),
        ((12, 1), ("sm_120f",), True),
        ((12, 1), ("compute_120f",), True),
        ((13, 0), ("compute_120f",), False),
        ((9, 0), ("gfx942", ""), False),
        ((9, 0), (), False),
    ],
)
def test_kernels_for_a_capability(capability, kernels, fit):
    assert guard.has_kernels(capability, kernels) == fit


def test_bfloat16_from_ampere_on():
    assert guard.gpu_dtype((7, 5)) == "float16"
    assert guard.gpu_dtype((8, 0)) == guard.gpu_dtype((12, 1)) == "bfloat16"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": False},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"head_dim": 16},
    ],
)
def test_parameters_are_counted_as_the_model_has_them(changes):
    config = LlamaConfig(**(tiny_llama.SHAPE | changes))
    assert guard.parameters(config) == LlamaForCausalLM(config).num_parameters()


def test_llama_3b():
    assert guard.parameters(LLAMA_3B) == 3_212_749_824
    half = guard.memory(LLAMA_3B, "float16", LAMBADA)
    assert 6.4e9 < half < 8e9
    assert guard.memory(LLAMA_3B, "float32", LAMBADA) > 1.8 * half
    # Two operations per weight and token: 2.25 M tokens, and GPTQ's work beside them.
    assert 2 * 2.8e9 * 2.25e6 < guard.operations(LLAMA_3B, LAMBADA) < 4 * 2.8e9 * 2.25e6


def test_long_calibration_needs_memory_of_its_own():
    much = LAMBADA._replace(calibration=10**6)
    assert guard.memory(LLAMA_3B, "float16", much) > guard.memory(LLAMA_3B, "float16", LAMBADA)
    unused = much._replace(quantized=0)
    assert guard.memory(LLAMA_3B, "float16", unused) == guard.memory(LLAMA_3B, "float16", LAMBADA)


def test_a_fit_gpu_is_taken():
    found = choose(LLAMA_3B, H100)
    assert found[:2] == ("cuda", "bfloat16")
    assert found.sentence.startswith("Runs on the GPU NVIDIA H100 in bfloat16: about 7.")
    assert choose(LLAMA_3B, T4)[:2] == choose(LLAMA_3B, T4, "cuda")[:2] == ("cuda", "float16")
    assert choose(LLAMA_3B, H100, "cpu")[:2] == ("cpu", "float32")


def test_a_gpu_is_introduced_before_there_is_a_model():
    said = [guard.introduce(guard.Machine(HOST, gpu)) for gpu in (None, T4, P100)]
    assert said[0].startswith("There is no GPU that PyTorch can see (Kaggle: Settings")
    assert said[1] == "The GPU is a Tesla T4 with 15.0 GB free."
    assert said[2].startswith("The GPU Tesla P100-PCIE-16GB has compute capability 6.0, for which")
    assert said[2].endswith("choose another GPU (Kaggle: T4 x2).")


def test_the_cpu_says_how_long():
    found = choose(LLAMA_3B)
    assert found[:2] == ("cpu", "float32")
    assert found.sentence == "Runs on the CPU in float32; the arithmetic alone takes 2 days."
    assert choose(SMALL).sentence.endswith("the arithmetic alone takes less than a minute.")


def test_an_unfit_gpu_stops_long_work_and_not_short():
    with pytest.raises(QlabError) as error:
        choose(LLAMA_3B, P100)
    assert str(error.value) == (
        "The GPU Tesla P100-PCIE-16GB has compute capability 6.0, for which PyTorch 2.11.0+cu128 "
        "has no kernels (it has sm_75, sm_80, sm_86, sm_90, sm_100, sm_120); choose another GPU "
        "(Kaggle: T4 x2), or set device=cpu, where the arithmetic alone takes 2 days."
    )
    found = choose(SMALL, P100)
    assert found.device == "cpu" and "capability 6.0" in found.sentence
    with pytest.raises(QlabError, match="or set device=cpu"):
        choose(SMALL, P100, "cuda")
    assert choose(LLAMA_3B, P100, "cpu").device == "cpu"


@pytest.mark.parametrize(
    ("gpu", "asked", "free", "sentence"),
    [
        (None, "cuda", HOST, "asks for cuda, but this PyTorch finds no CUDA device; switch"),
        (None, "gpu", HOST, "'device' is auto, cpu or cuda, not 'gpu'"),
        (P100, "cuda", HOST, "compute capability 6.0, .* T4 x2\\), or set device=cpu"),
        (T4._replace(free=3 * 10**9), "cuda", HOST, r"T4 has 3\.0 GB free and about 7\.\d GB are"),
        (None, "auto", 8 * 10**9, r"about 1\d\.\d GB of memory .* 8\.0 GB are free; take a"),
        (P100, "auto", 8 * 10**9, r"capability 6\.0.* The CPU needs about .* take a smaller"),
    ],
)
def test_refusals_say_what_to_do(gpu, asked, free, sentence):
    with pytest.raises(QlabError, match=sentence):
        choose(LLAMA_3B, gpu, asked, free)


def test_durations_in_words():
    words = [guard.in_words(s) for s in (5, 45, 100, 5400, 86400, 10**6)]
    assert words == [
        "less than a minute",
        "a minute",
        "2 minutes",
        "2 hours",
        "24 hours",
        "12 days",
    ]


def test_this_machine():
    found = guard.look()
    assert 0 < found.free <= psutil.virtual_memory().total
    assert guard.cpu_rate(SMALL, 0.01) > 1e6
    if found.gpu is None:
        assert guard.choose(SMALL, LAMBADA).device == "cpu"
