"""What quantization costs and buys, measured: the package that the notebooks call.

A room for each experiment, over a small core: `by_hand` (notebook 00), `detector` (01), `language`
(02), `classifier` (03), `evidence` (04), `claims` (05) and `transformer` (06). In a room, `data` is
what is worked on, `measure` goes from results to records, `plots` draws; every other module is one
idea.
`core` is what rooms share: records, statistics, timing, cache. `run` executes notebooks, compares
runs and writes README's table. CONTRIBUTING has a table of the rooms.
"""

import contextlib
import logging
import os
import sys

# TensorFlow 2.20 and later shows its LLVM to every library loaded after it, and Triton 3.7, which
# PyTorch for CUDA brings along and imports when it likes, dies of that at once:
# https://github.com/tensorflow/tensorflow/issues/124205. It lives where it comes first; where it
# is too late for that, what needs no Triton still runs.
if "tensorflow" not in sys.modules:
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401

# transformers would import TensorFlow too, wherever it is installed: ten seconds, and noise.
os.environ.setdefault("USE_TF", "0")

# transformers imports torchao, wherever it is installed, which warns of kernels for GPUs that do
# not load here, with paths of this machine.
for name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(name).setLevel(logging.ERROR)
