"""Where a model runs, decided before any weight is read, and said in one sentence."""

import re
from typing import TYPE_CHECKING, NamedTuple

import psutil

from qlab.core.errors import QlabError
from qlab.language import decoder

if TYPE_CHECKING:
    from transformers import PretrainedConfig

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}  # of a number
HEAD = 3 << 27  # bytes: the logits made at a time (2^27), their float32 copy and log-softmax
BATCH = 4096  # tokens
SMALL = 10**9  # bytes: a model of less is tried on the CPU where the GPU will not do


class Gpu(NamedTuple):
    """A CUDA device, and what this PyTorch was built for."""

    name: str  # as the driver says it
    capability: tuple[int, int]  # compute capability, (major, minor)
    free: int  # bytes
    kernels: tuple[str, ...]  # torch.cuda.get_arch_list()
    torch: str  # version


class Choice(NamedTuple):
    """Where to run; `sentence` tells the reader."""

    device: str  # "cpu" or "cuda"
    dtype: str  # "float32", "float16" or "bfloat16"
    sentence: str


def look() -> Gpu | None:
    """The first CUDA device, where PyTorch finds one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return Gpu(
        torch.cuda.get_device_name(),
        torch.cuda.get_device_capability(),
        torch.cuda.mem_get_info()[0],
        tuple(torch.cuda.get_arch_list()),
        torch.__version__,
    )


def host_memory() -> int:
    """Bytes of this machine's memory that are free."""
    return psutil.virtual_memory().available


def introduce(gpu: Gpu | None) -> str:
    """A sentence on a machine's GPU, before there is a model to judge it by."""
    if gpu is None:
        return "There is no GPU that PyTorch can see (Kaggle: Settings, Accelerator, T4 x2)."
    return f"{_without_kernels(gpu) or f'The GPU is a {gpu.name} with {_gb(gpu.free)} free'}."


def choose(config: "PretrainedConfig", calibration: int, asked: str = "auto") -> Choice:
    """Device and dtype for a model; `calibration` counts the tokens that quantize it.

    `asked` is auto, cpu or cuda. `auto` takes a fit GPU; beside an unfit one it takes the CPU for a
    model of less than SMALL bytes. QlabError, with what to do, where the model fits nowhere.
    """
    gpu, unfit = None if asked == "cpu" else look(), ""
    if asked == "cuda" and gpu is None:
        raise QlabError(
            "The parameter 'device' asks for cuda, but this PyTorch finds no CUDA device; switch "
            "the GPU on (Kaggle: Settings, Accelerator), or set device=cpu."
        )
    if gpu:
        dtype = gpu_dtype(gpu.capability)
        need = memory(config, dtype, calibration)
        if not (unfit := _unfit(gpu, need)):
            said = f"Runs on the GPU {gpu.name} in {dtype}: about {_gb(need)} of its"
            return Choice("cuda", dtype, f"{said} {_gb(gpu.free)} free are needed.")
    need, free = memory(config, "float32", calibration), host_memory()
    if unfit and (asked == "cuda" or need - HEAD > SMALL):
        raise QlabError(f"{unfit}, or set device=cpu, which is slow.")
    if need > free:
        raise QlabError(
            f"The CPU needs about {_gb(need)} of memory for this model in float32 and {_gb(free)} "
            "are free; take a smaller model, or another machine."
        )
    return Choice("cpu", "float32", f"{unfit}. Runs on the CPU in float32.".removeprefix(". "))


def has_kernels(capability: tuple[int, int], kernels: tuple[str, ...]) -> bool:
    """Whether code built for `kernels` (sm_75, compute_90, ...) runs on a GPU of this capability.

    Machine code (sm) runs on the same major version from its minor on; portable code (compute) on
    every later version; what ends in a on that very version alone, in f as sm does.
    """
    for kind, number, only in re.findall(r"\b(sm|compute)_(\d+)([af]?)\b", " ".join(kernels)):
        built = divmod(int(number), 10)
        portable = kind == "compute" and not only
        same = capability == built if only == "a" else capability[0] == built[0]
        if capability >= built and (portable or same):
            return True
    return False


def gpu_dtype(capability: tuple[int, int]) -> str:
    """bfloat16 where the card computes in it (8.0 on, Ampere), else float16."""
    return "bfloat16" if capability >= (8, 0) else "float16"


def memory(config: "PretrainedConfig", dtype: str, calibration: int) -> int:
    """Bytes that a run needs at most: evaluating the dense model, or quantizing one layer of it.

    Quantizing holds one decoder block, the hidden states of all calibration tokens before and
    after it, and four matrices of the widest layer's inputs (the Hessian and its factors).
    """
    model, each, width = decoder.empty(config), BYTES[dtype], config.hidden_size
    shapes = [
        decoder.matrix(m).shape for m in decoder.linears(decoder.blocks(model)[1][0]).values()
    ]
    widest = max(inputs for _, inputs in shapes)
    batch = BATCH * (3 * widest + 6 * width) * each
    evaluate = sum(p.numel() for p in model.parameters()) * each + batch + HEAD
    layer = sum(outputs * inputs for outputs, inputs in shapes) * 4
    quantize = layer + 2 * calibration * width * each + 4 * widest**2 * 4 + batch
    return max(evaluate, quantize)


def _unfit(gpu: Gpu, need: int) -> str:
    """Why a GPU cannot be used and what to do about it, without the full stop; or nothing."""
    said = _without_kernels(gpu)
    if not said and need > gpu.free:
        said = f"The GPU {gpu.name} has {_gb(gpu.free)} free and about {_gb(need)} are needed; end "
        said += "what else uses it, take a smaller model"
    return said


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


def _gb(number: float) -> str:
    return f"{number / 1e9:.1f} GB"
