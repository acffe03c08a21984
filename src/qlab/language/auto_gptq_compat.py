"""auto-gptq 0.7.1, made to work without CUDA and with Hugging Face libraries newer than itself.

auto-gptq is not maintained any more. It is used as installed; what it misses is lent to it. A loan
is made only where something is missing (asked of the library itself, not of its version), and
taken back as soon as auto-gptq has what it needs, so that nothing else in the process sees it.
Tested with transformers 4.53.3 and peft 0.13.2, 5.9.0 and 0.19.1 (Kaggle's image), 5.23.0 and
0.21.2.
"""

import contextlib
import functools
import importlib
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType
from unittest.mock import patch

import torch

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


@contextlib.contextmanager
def quantizing() -> Iterator[None]:
    """Where auto-gptq quantizes a layer: `torch.cuda.synchronize`, which GPTQ calls to stop its
    clock and which raises without CUDA, does nothing there."""
    if torch.cuda.is_available():
        yield
    else:
        with patch.object(torch.cuda, "synchronize", lambda device=None: None):
            yield
