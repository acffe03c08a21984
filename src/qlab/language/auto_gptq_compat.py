"""auto-gptq 0.7.1, made to work without CUDA and with Hugging Face libraries newer than itself.

auto-gptq is not maintained any more. It is used as installed; what it misses is lent to it. A loan
is made only where something is missing (asked of the library itself, not of its version), and
taken back as soon as auto-gptq has what it needs, so that nothing else in the process sees it.
Tested with transformers 4.53.3 and peft 0.13.2, 5.9.0 and 0.19.1 (Kaggle's image), 5.23.0 and
0.21.2.
"""

import contextlib
import functools
import gc
import importlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import torch

from qlab.core.errors import QlabError

_HUB, _MODELS, _PEFT = "transformers.utils.hub", "transformers.modeling_utils", "peft.peft_model"
# What auto-gptq imports: (module, name) -> where it lives now.
LOANS = {
    # Gone with transformers 5.23, which imported these two for itself alone; so may the others.
    (_HUB, "create_commit"): ("huggingface_hub", "create_commit"),
    (_HUB, "create_repo"): ("huggingface_hub", "create_repo"),
    (_HUB, "CommitOperationAdd"): ("huggingface_hub", "CommitOperationAdd"),
    (_HUB, "PushToHubMixin"): ("transformers.utils", "PushToHubMixin"),
    (_HUB, "cached_file"): ("transformers.utils", "cached_file"),
    # Since transformers 5.
    (_MODELS, "no_init_weights"): ("transformers.initialization", "no_init_weights"),
    # Since peft 0.19; changed only for LoRA adapters of auto-gptq's own, which are not made.
    (_PEFT, "PEFT_TYPE_TO_MODEL_MAPPING"): (_PEFT, "PEFT_TYPE_TO_TUNER_MAPPING"),
}
# Of torch.nn.init, what auto-gptq replaces when it loads.
INITIALIZATION = ("kaiming_uniform_", "uniform_", "normal_")


@functools.cache
def load() -> ModuleType:
    """The module auto_gptq, imported and ready; without CUDA its "GPU 0" is the CPU.

    QlabError: it cannot be imported.
    """
    # A logger below this one says three times at import that there are no CUDA kernels.
    logging.getLogger("auto_gptq").setLevel(logging.ERROR)
    with _lent_for_import(), warnings.catch_warnings():
        # Its Triton kernels, unused here, are declared in a way that PyTorch 2.4 deprecated.
        warnings.filterwarnings("ignore", category=FutureWarning, module="auto_gptq")
        try:
            import auto_gptq
            import auto_gptq.nn_modules.qlinear.qlinear_cuda_old
        except ImportError as error:
            raise QlabError(f"auto-gptq cannot be imported ({error}); run make install.") from error
    # This one raises its own level back to INFO and tells of every layer, on stderr.
    logging.getLogger("auto_gptq.modeling._base").setLevel(logging.ERROR)
    if not torch.cuda.is_available():
        _use_cpu()
    return auto_gptq


def quantizer() -> type:
    """`Quantizer`: the grid (scales and zero-points) of weights."""
    return load().quantization.quantizer.Quantizer


def gptq() -> type:
    """`GPTQ`: quantizes one layer; call `fasterquant` within `quantizing()`."""
    return load().quantization.GPTQ


def packed_linear() -> type:
    """The `QuantLinear` that packs, and runs in plain PyTorch where it has no kernel."""
    return load().nn_modules.qlinear.qlinear_cuda_old.QuantLinear


@contextlib.contextmanager
def quantizing() -> Iterator[None]:
    """Where auto-gptq quantizes, a layer or a whole model: needed around both.

    Two loans. `torch.cuda.synchronize`, which GPTQ calls after every layer to stop its clock and
    which raises without CUDA, does nothing. And a decoder layer's output is a tuple again: since
    transformers 4.54 it is a bare tensor, of which `quantize()` takes `[0]`, that is, silently,
    only the first passage of the batch, without its batch dimension.
    """
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    forward = LlamaDecoderLayer.forward

    def with_tuple(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        return output if isinstance(output, tuple) else (output,)

    with contextlib.ExitStack() as loans:
        if not torch.cuda.is_available():
            loans.enter_context(patch.object(torch.cuda, "synchronize", lambda device=None: None))
        loans.enter_context(patch.object(LlamaDecoderLayer, "forward", with_tuple))
        yield


def from_quantized(folder: Path, device: str = "cpu"):
    """A GPTQ folder as auto-gptq's own modules hold it, float16 on CUDA, float32 on a CPU.

    Triton and both exllama kernels are off: compiled parts which the wheel lacks, or some GPUs.
    """
    auto_gptq = load()
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
    with _kept_initialization(), _cheap_collection():
        return auto_gptq.AutoGPTQForCausalLM.from_quantized(
            str(folder),
            device=device if ":" in device or device == "cpu" else f"{device}:0",
            torch_dtype=dtype,
            use_triton=False,
            disable_exllama=True,
            disable_exllamav2=True,
        )


@contextlib.contextmanager
def _kept_initialization() -> Iterator[None]:
    """Take back what `from_quantized` does to everyone and never undoes.

    It replaces functions of torch.nn.init by ones that do nothing and tells transformers not to
    initialize (a switch that transformers 5 has no more): every model made later in the process
    would start from whatever the memory held.
    """
    from transformers import modeling_utils

    places = {name: (torch.nn.init, getattr(torch.nn.init, name)) for name in INITIALIZATION}
    places["_init_weights"] = (modeling_utils, getattr(modeling_utils, "_init_weights", True))
    with contextlib.ExitStack() as kept:
        for name, (owner, value) in places.items():
            kept.enter_context(patch.object(owner, name, value, create=True))
        yield


@contextlib.contextmanager
def _cheap_collection() -> Iterator[None]:
    """Leave what is alive now out of garbage collections.

    accelerate collects after every shard; with TensorFlow in the process one takes seconds.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _lent_for_import() -> Iterator[None]:
    """LOANS, where they are missing; auto-gptq's modules keep what they got."""
    with contextlib.ExitStack() as loans:
        for (borrower, name), (home, there) in LOANS.items():
            owner = importlib.import_module(borrower)
            if not hasattr(owner, name):
                value = getattr(importlib.import_module(home), there)
                loans.enter_context(patch.object(owner, name, value, create=True))
        yield


def _use_cpu() -> None:
    """Name the CPU where auto-gptq names its first GPU: it moves each layer there to quantize."""
    for name in ("_const", "_utils", "_base"):  # each imported the constant into a name of its own
        module = importlib.import_module(f"auto_gptq.modeling.{name}")
        module.CUDA_0 = torch.device("cpu")
