"""Keep the chatter of native libraries out of notebooks.

TensorFlow's and LiteRT's C++ code writes notes to file descriptor 2, and nothing can turn this off
before it is loaded. Errors still arrive as Python exceptions.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

from qlab.core import paths


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send file descriptor 2 to build/native.log while the block runs."""
    sys.stderr.flush()
    try:
        log = paths.build() / "native.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a read-only project: nowhere to keep the notes
        target = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(2)
    try:
        os.dup2(target, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(target)
