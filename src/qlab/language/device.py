"""Where a language study runs, decided before any weight is read, and said in one sentence.

A GPU must have kernels in this PyTorch and free memory for the model; what a run needs follows
from the model's configuration. What the machine offers is an argument, so all of it can be tried
without a GPU.
"""

import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from qlab.core.errors import QlabError

if TYPE_CHECKING:
    from transformers import LlamaConfig

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}  # of a number
HEAD = 3 << 27  # bytes: the logits made at a time (2^27), their float32 copy and log-softmax
PATIENCE = 3600  # seconds of CPU work that `auto` starts by itself where a GPU was found unfit
REFUSALS = "take a smaller model, or another machine"  # how every refusal ends


class Gpu(NamedTuple):
    """A CUDA device and what this PyTorch was built for."""

    name: str  # as the driver says it
    capability: tuple[int, int]  # compute capability, (major, minor)
    free: int  # bytes
    kernels: tuple[str, ...]  # torch.cuda.get_arch_list()
    torch: str  # version


class Machine(NamedTuple):
    """What there is to run on."""

    free: int  # bytes of host memory available
    gpu: Gpu | None = None  # None: there is none


class Work(NamedTuple):
    """What a run will do, in tokens through the whole model."""

    evaluation: int  # tokens of all passages, once per variant
    calibration: int = 0  # tokens that calibrate each quantized variant
    quantized: int = 0  # variants quantized with calibration
    batch: int = 4096  # tokens in a batch


class Choice(NamedTuple):
    """Where to run; `sentence` tells the reader."""

    device: str  # "cpu" or "cuda"
    dtype: str  # "float32", "float16" or "bfloat16"
    sentence: str


def choose(
    config: "LlamaConfig",
    work: Work,
    asked: str = "auto",
    machine: Machine | None = None,
    rate: float = 0,
) -> Choice:
    """Device and dtype for a model, or QlabError with what to do; reads no weights.

    `asked` is auto, cpu or cuda. `auto` takes a fit GPU; beside an unfit one it takes the CPU for
    work of less than an hour. `rate` in operations per second is measured if it is 0.
    """
    machine = machine or look()
    if asked not in ("auto", "cpu", "cuda"):
        raise QlabError(f"The parameter 'device' is auto, cpu or cuda, not {asked!r}.")
    if asked == "cuda" and machine.gpu is None:
        raise QlabError(
            "The parameter 'device' asks for cuda, but this PyTorch finds no CUDA device; switch "
            "the GPU on (Kaggle: Settings, Accelerator), or set device=cpu."
        )
    unfit = "" if asked == "cpu" or machine.gpu is None else _unfit(config, work, machine.gpu)
    if asked == "cuda" and unfit:
        raise QlabError(f"{unfit}, or set device=cpu.")
    if asked != "cpu" and machine.gpu and not unfit:
        return _on_gpu(config, work, machine.gpu)
    return _on_cpu(config, work, machine.free, rate or cpu_rate(config), unfit)


def look() -> Machine:
    """This machine: available memory, and the first CUDA device where PyTorch finds one."""
    import torch

    free = psutil.virtual_memory().available
    if not torch.cuda.is_available():
        return Machine(free)
    gpu = Gpu(
        torch.cuda.get_device_name(),
        torch.cuda.get_device_capability(),
        torch.cuda.mem_get_info()[0],
        tuple(torch.cuda.get_arch_list()),
        torch.__version__,
    )
    return Machine(free, gpu)


def introduce(machine: Machine) -> str:
    """A sentence on the GPU of a machine, before there is a model to judge it by."""
    if machine.gpu is None:
        return "There is no GPU that PyTorch can see (Kaggle: Settings, Accelerator, T4 x2)."
    unusable = _without_kernels(machine.gpu)
    return f"{unusable or f'The GPU is a {machine.gpu.name} with {_gb(machine.gpu.free)} free'}."


def has_kernels(capability: tuple[int, int], kernels: tuple[str, ...]) -> bool:
    """Whether code built for `kernels` (sm_75, compute_90, ...) runs on a GPU of this capability.

    Machine code (sm) runs on the same major version from its minor on; portable code (compute) on
    every later version; what ends in a on that very version alone, in f as sm does.
    """
    return any(_runs(capability, kernel) for kernel in kernels)


def _runs(capability: tuple[int, int], kernel: str) -> bool:
    kind, _, number = kernel.partition("_")
    digits = number.rstrip("af")
    if not digits.isdigit():
        return False
    built = divmod(int(digits), 10)
    if number.endswith("a"):
        return capability == built
    if kind == "compute" and number == digits:
        return capability >= built
    return capability[0] == built[0] and capability >= built


def gpu_dtype(capability: tuple[int, int]) -> str:
    """bfloat16 where the card computes in it (8.0 on, Ampere), else float16."""
    return "bfloat16" if capability >= (8, 0) else "float16"


def linear_shapes(config: "LlamaConfig") -> list[tuple[int, int]]:
    """(outputs, inputs) of the seven linear layers of one decoder layer."""
    width, inner = config.hidden_size, config.intermediate_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    attention = [(queries, width), (keys, width), (keys, width), (width, queries)]
    return [*attention, (inner, width), (inner, width), (width, inner)]


def parameters(config: "LlamaConfig") -> int:
    """Number of weights of the whole model, a tied embedding counted once."""
    shapes = linear_shapes(config)
    biased = shapes[:4] * bool(config.attention_bias) + shapes[4:] * bool(config.mlp_bias)
    layer = sum(o * i for o, i in shapes) + sum(o for o, _ in biased) + 2 * config.hidden_size
    embedding = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    return config.num_hidden_layers * layer + embedding + config.hidden_size


def memory(config: "LlamaConfig", dtype: str, work: Work) -> int:
    """Bytes that a run needs at most: evaluating the dense model, or quantizing one layer of it.

    Quantizing holds one decoder layer, the hidden states of all calibration tokens before and
    after it, and four matrices of the widest layer's inputs (the Hessian and its factors).
    """
    each, width, inner = BYTES[dtype], config.hidden_size, config.intermediate_size
    batch = work.batch * (3 * inner + 6 * width) * each
    evaluate = parameters(config) * each + batch + HEAD
    if not work.quantized:
        return evaluate
    layer = sum(o * i for o, i in linear_shapes(config)) * 4
    quantize = layer + 2 * work.calibration * width * each + 4 * inner**2 * 4 + batch
    return max(evaluate, quantize)


def operations(config: "LlamaConfig", work: Work) -> float:
    """Floating-point operations of a run, at least: matrix products; attention is left out.

    A token costs two per weight. GPTQ costs each linear layer two per calibration token and square
    of its inputs (the Hessian), its cube (factors and inverse) and two per weight and input.
    """
    shapes, layers = linear_shapes(config), config.num_hidden_layers
    token = 2 * layers * sum(o * i for o, i in shapes)
    solve = layers * sum(2 * work.calibration * i**2 + i**3 + 2 * o * i**2 for o, i in shapes)
    return work.evaluation * token + work.quantized * (2 * work.calibration * token + solve)


def cpu_rate(config: "LlamaConfig", seconds: float = 0.2) -> float:
    """Measured operations per second of a product with the model's own widths, float32."""
    import torch

    left = torch.ones(256, config.hidden_size)
    right = torch.ones(config.hidden_size, config.intermediate_size)
    left @ right
    rounds, passed, start = 0, 0.0, time.perf_counter()
    while passed < seconds:
        left @ right
        rounds += 1
        passed = time.perf_counter() - start
    return rounds * 2 * left.shape[0] * right.numel() / passed


def in_words(seconds: float) -> str:
    """A duration as a person says it: "2 minutes", "5 hours", "12 days"."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}s"
    return "a minute" if seconds > 30 else "less than a minute"


def _unfit(config: "LlamaConfig", work: Work, gpu: Gpu) -> str:
    """Why a GPU cannot be used and what to do about it, without the full stop; or nothing."""
    if without := _without_kernels(gpu):
        return without
    need = memory(config, gpu_dtype(gpu.capability), work)
    if need > gpu.free:
        return (
            f"The GPU {gpu.name} has {_gb(gpu.free)} free and about {_gb(need)} are needed; end "
            "what else uses it, take a smaller model"
        )
    return ""


def _without_kernels(gpu: Gpu) -> str:
    """That this PyTorch cannot run on a GPU and what to do, without the full stop; or nothing."""
    if has_kernels(gpu.capability, gpu.kernels):
        return ""
    major, minor = gpu.capability
    return (
        f"The GPU {gpu.name} has compute capability {major}.{minor}, for which PyTorch "
        f"{gpu.torch} has no kernels (it has {', '.join(gpu.kernels) or 'none'}); choose "
        "another GPU (Kaggle: T4 x2)"
    )


def _on_gpu(config: "LlamaConfig", work: Work, gpu: Gpu) -> Choice:
    dtype = gpu_dtype(gpu.capability)
    need = memory(config, dtype, work)
    return Choice(
        "cuda",
        dtype,
        f"Runs on the GPU {gpu.name} in {dtype}: about {_gb(need)} of its {_gb(gpu.free)} free "
        "are needed.",
    )


def _on_cpu(config: "LlamaConfig", work: Work, free: int, rate: float, unfit: str) -> Choice:
    need, dtype = memory(config, "float32", work), "float32"
    if need > free:
        raise QlabError(
            f"{unfit + '. ' if unfit else ''}The CPU needs about {_gb(need)} of memory for this "
            f"model in float32 and {_gb(free)} are free; {REFUSALS}."
        )
    duration = operations(config, work) / rate
    if unfit and duration > PATIENCE:
        raise QlabError(
            f"{unfit}, or set device=cpu, where the arithmetic alone takes {in_words(duration)}."
        )
    sentence = f"Runs on the CPU in float32; the arithmetic alone takes {in_words(duration)}."
    return Choice("cpu", dtype, f"{unfit}. {sentence}" if unfit else sentence)


def _gb(number: float) -> str:
    return f"{number / 1e9:.1f} GB"
