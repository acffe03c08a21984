"""Decide where a model runs before any weight is read, and say so in one sentence."""

import re
from typing import NamedTuple

import psutil
from torch import cuda
from transformers import PretrainedConfig

from qlab.core.errors import QlabError
from qlab.language import decoder

SPARE = 1.5  # times the weights' bytes, for activations, a block in float32 and its Hessian
SMALL = 10**9  # bytes: up to this, a model may run on the CPU where the GPU is unfit


class Gpu(NamedTuple):
    """A CUDA device, and what this PyTorch was built for."""

    name: str  # as the driver says it
    capability: tuple[int, int]  # compute capability, (major, minor)
    free: int  # bytes
    kernels: tuple[str, ...]  # torch.cuda.get_arch_list()


class Choice(NamedTuple):
    """Where to run; `sentence` tells the reader."""

    device: str  # "cpu" or "cuda"
    dtype: str  # "float32", "float16" or "bfloat16"
    sentence: str


def look() -> Gpu | None:
    """The first CUDA device; None where PyTorch finds none."""
    if not cuda.is_available():
        return None
    name, capability = cuda.get_device_name(), cuda.get_device_capability()
    return Gpu(name, capability, cuda.mem_get_info()[0], tuple(cuda.get_arch_list()))


def choose(config: PretrainedConfig, asked: str = "auto") -> Choice:
    """Device and dtype for a model; `asked` is auto, cpu or cuda. `auto` takes a usable GPU, else
    the CPU, but beside an unusable GPU only up to SMALL bytes. QlabError if neither will do."""
    count = decoder.count(decoder.empty(config))
    gpu = None if asked == "cpu" else look()
    half, whole, free = count * 2 * SPARE, count * 4 * SPARE, psutil.virtual_memory().available
    why = unfit(gpu, half)
    if not why:
        # The card computes in bfloat16 from 8.0 on (Ampere).
        dtype = "bfloat16" if gpu.capability >= (8, 0) else "float16"
        said = f"Runs on the GPU {gpu.name} in {dtype}: about {half / 1e9:.1f} GB of its"
        return Choice("cuda", dtype, f"{said} {gpu.free / 1e9:.1f} GB free are needed.")
    if asked == "cuda" or (gpu and whole > SMALL * SPARE):
        raise QlabError(f"{why}, or set device=cpu, which is slow.")
    if whole > free:
        needs = f"about {whole / 1e9:.1f} GB of memory for this model in float32"
        told = f"The CPU needs {needs} and {free / 1e9:.1f} GB are free"
        raise QlabError(f"{told}; take a smaller model, or another machine.")
    return Choice("cpu", "float32", f"{why}. " * bool(gpu) + "Runs on the CPU in float32.")


def has_kernels(capability: tuple[int, int], kernels: tuple[str, ...]) -> bool:
    """Whether code built for `kernels` (sm_75, compute_90, ...) runs on a GPU of this capability:
    machine code (sm) from its minor version on, portable code (compute) on every later version."""
    found = re.findall(r"\b(sm|compute)_(\d+)\b", " ".join(kernels))
    built = [(kind == "compute", divmod(int(number), 10)) for kind, number in found]
    return any(v <= capability and (portable or v[0] == capability[0]) for portable, v in built)


def unfit(gpu: Gpu | None, need: float) -> str:
    """Why a GPU cannot be used and what to do about it, without the full stop; empty if it can."""
    if gpu is None:
        none = "There is no GPU that PyTorch can see (Kaggle: Settings, Accelerator, T4 x2)"
        return f"{none}; switch one on"
    if not has_kernels(gpu.capability, gpu.kernels):
        has, version = ", ".join(gpu.kernels) or "none", ".".join(map(str, gpu.capability))
        told = f"compute capability {version}, for which this PyTorch has no kernels (it has {has})"
        return f"The GPU {gpu.name} has {told}; choose another GPU (Kaggle: T4 x2)"
    if need > gpu.free:
        told = f"{gpu.free / 1e9:.1f} GB free and about {need / 1e9:.1f} GB are needed"
        return f"The GPU {gpu.name} has {told}; end what else uses it, take a smaller model"
    return ""
