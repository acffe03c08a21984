"""Where a model runs, decided before any weight is read, and said in one sentence."""

import re
from typing import NamedTuple

import psutil
from torch import cuda
from transformers import PretrainedConfig

from qlab.core.errors import QlabError
from qlab.language import decoder

SPARE = 1.5  # over the weights' bytes: activations, a block in float32, its Hessian
SMALL = 10**9  # bytes: a model of less is tried on the CPU where the GPU will not do


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
    """The first CUDA device, where PyTorch finds one."""
    if not cuda.is_available():
        return None
    name, capability = cuda.get_device_name(), cuda.get_device_capability()
    return Gpu(name, capability, cuda.mem_get_info()[0], tuple(cuda.get_arch_list()))


def introduce(gpu: Gpu | None) -> str:
    """A sentence on a machine's GPU, before there is a model to judge it by."""
    if gpu is None:
        return "There is no GPU that PyTorch can see (Kaggle: Settings, Accelerator, T4 x2)."
    return f"{_unfit(gpu, 0) or f'The GPU is a {gpu.name} with {_gb(gpu.free)} free'}."


def choose(config: PretrainedConfig, asked: str = "auto") -> Choice:
    """Device and dtype for a model; `asked` is auto, cpu or cuda. `auto` takes a fit GPU; beside an
    unfit one the CPU for a model of less than SMALL bytes. QlabError where it fits nowhere."""
    count = decoder.count(decoder.empty(config))
    gpu, unfit = None if asked == "cpu" else look(), ""
    if asked == "cuda" and gpu is None:
        raise QlabError(f"{introduce(None).removesuffix('.')}; switch one on, or set device=cpu.")
    need = int(count * 2 * SPARE)  # in 16 bits
    if gpu and not (unfit := _unfit(gpu, need)):
        # The card computes in bfloat16 from 8.0 on (Ampere).
        dtype = "bfloat16" if gpu.capability >= (8, 0) else "float16"
        said = f"Runs on the GPU {gpu.name} in {dtype}: about {_gb(need)} of its"
        return Choice("cuda", dtype, f"{said} {_gb(gpu.free)} free are needed.")
    need, free = int(count * 4 * SPARE), psutil.virtual_memory().available
    if unfit and (asked == "cuda" or need > SMALL * SPARE):
        raise QlabError(f"{unfit}, or set device=cpu, which is slow.")
    if need > free:
        raise QlabError(
            f"The CPU needs about {_gb(need)} of memory for this model in float32 and {_gb(free)} "
            "are free; take a smaller model, or another machine."
        )
    return Choice("cpu", "float32", f"{unfit}. Runs on the CPU in float32.".removeprefix(". "))


def has_kernels(capability: tuple[int, int], kernels: tuple[str, ...]) -> bool:
    """Whether code built for `kernels` (sm_75, compute_90, ...) runs on a GPU of this capability:
    machine code (sm) from its minor on, portable code (compute) on every later version."""
    for kind, number in re.findall(r"\b(sm|compute)_(\d+)\b", " ".join(kernels)):
        built = divmod(int(number), 10)
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return False


def _unfit(gpu: Gpu, need: int) -> str:
    """Why a GPU cannot be used and what to do about it, without the full stop; or nothing."""
    if not has_kernels(gpu.capability, gpu.kernels):
        return (
            f"The GPU {gpu.name} has compute capability {'.'.join(map(str, gpu.capability))}, for "
            f"which this PyTorch has no kernels (it has {', '.join(gpu.kernels) or 'none'}); "
            "choose another GPU (Kaggle: T4 x2)"
        )
    short = f"The GPU {gpu.name} has {_gb(gpu.free)} free and about {_gb(need)} are needed; end "
    return f"{short}what else uses it, take a smaller model" if need > gpu.free else ""


def _gb(number: float) -> str:
    return f"{number / 1e9:.1f} GB"
