"""auto-gptq 0.7.1, unmaintained, made to work without CUDA and with newer Hugging Face libraries.

What it misses (asked of the library itself, not of its version) is lent to it while it needs it.
Tested with transformers 4.53.3 and peft 0.13.2, 5.9.0 and 0.19.1 (Kaggle's image), 5.23.0 and
0.21.2.
"""

import contextlib
import functools
import importlib
import logging
import warnings
from types import ModuleType
from unittest.mock import patch

import torch

_MODELS, _PEFT = "transformers.modeling_utils", "peft.peft_model"
_HUB = {"huggingface_hub": ("create_commit", "create_repo", "CommitOperationAdd")}
_HUB["transformers.utils"] = ("PushToHubMixin", "cached_file")
# What auto-gptq imports: (module, name) -> where it lives now. Since transformers 5.23, 5, peft
# 0.19; the last changed only for LoRA adapters of auto-gptq's own, which are not made.
LOANS = {("transformers.utils.hub", n): (home, n) for home, names in _HUB.items() for n in names}
LOANS[_MODELS, "no_init_weights"] = ("transformers.initialization", "no_init_weights")
LOANS[_PEFT, "PEFT_TYPE_TO_MODEL_MAPPING"] = (_PEFT, "PEFT_TYPE_TO_TUNER_MAPPING")


@functools.cache
def load() -> ModuleType:
    """The module auto_gptq, imported, with all of it that is used here."""
    # A logger below this one says three times at import that there are no CUDA kernels.
    logging.getLogger("auto_gptq").setLevel(logging.ERROR)
    with contextlib.ExitStack() as loans, warnings.catch_warnings():
        for (borrower, name), (home, there) in LOANS.items():
            owner = importlib.import_module(borrower)
            if not hasattr(owner, name):
                value = getattr(importlib.import_module(home), there)
                loans.enter_context(patch.object(owner, name, value, create=True))
        # Its Triton kernels, unused here, are declared in a way that PyTorch 2.4 deprecated.
        warnings.filterwarnings("ignore", category=FutureWarning, module="auto_gptq")
        import auto_gptq.nn_modules.qlinear.qlinear_cuda_old
    return auto_gptq


def packed_linear(*arguments, **named) -> torch.nn.Module:
    """A `QuantLinear`, which packs, and runs in plain PyTorch where it has no kernel."""
    return load().nn_modules.qlinear.qlinear_cuda_old.QuantLinear(*arguments, **named)


def quantizing() -> contextlib.AbstractContextManager:
    """Where auto-gptq quantizes: its `torch.cuda.synchronize`, which raises without CUDA, does
    nothing there."""
    if torch.cuda.is_available():
        return contextlib.nullcontext()
    return patch.object(torch.cuda, "synchronize", lambda device=None: None)
