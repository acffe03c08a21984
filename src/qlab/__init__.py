"""What quantization costs and buys, measured: the package that the notebooks call.

There is a room for each experiment, over a small core: `by_hand` (notebook 00), `detector` (01),
`language` (02), `classifier` (03), `evidence` (04), `claims` (05) and `transformer` (06). In a
room, `data` holds what is worked on, `measure` turns results into records, and `plots` draws; every
other module is one idea. What rooms share: `core` (records, statistics, timing, caches), `files`
(downloads, embedded models), `images`, `tflite`. `run` executes and compares notebooks.
CONTRIBUTING has a table of the rooms.
"""

import contextlib
import logging
import os
import sys

# TensorFlow 2.20 and later exposes its LLVM to every library loaded after it. Triton 3.7, which
# PyTorch for CUDA brings along and imports at any time, then crashes at once; loaded first, it
# does not: https://github.com/tensorflow/tensorflow/issues/124205. Where TensorFlow is already
# loaded, whatever needs no Triton still runs.
if "tensorflow" not in sys.modules:
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401

# Where TensorFlow is installed, transformers would import it too: ten seconds, and noise.
os.environ.setdefault("USE_TF", "0")

# Where torchao is installed, transformers imports it; it then warns that its GPU kernels do not
# load here, and shows paths of this machine.
for name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(name).setLevel(logging.ERROR)
