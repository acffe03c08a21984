"""Where numbers come from: versions, hardware, commit, inputs, parameters."""

import contextlib
import functools
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from qlab.core import paths
from qlab.core.cache import versions


def commit() -> str:
    """The git commit of this code, `+changes` if code or notebooks differ; `none` without one."""
    if (folder := paths.checkout()) is None:
        return "none"

    def git(*arguments: str) -> str:
        call = ["git", "-C", str(folder), *arguments]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "notebooks")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


@functools.cache
def processor() -> str:
    """The processor's name as the operating system gives it."""
    with contextlib.suppress(OSError):  # no procfs: macOS, Windows
        for line in Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def device(share: str) -> str:
    """The processor and what share of it was used, such as `2 threads`: what a time refers to."""
    return f"{processor()}, {share}"


def collect(
    parameters: dict[str, Any], inputs: dict[str, str], packages: list[str], started: float
) -> dict[str, Any]:
    """Provenance to store beside records; `inputs` are sha256 by name, `started` a `time()`."""
    return {
        "parameters": parameters,
        "inputs": inputs,
        "versions": {"python": platform.python_version(), **versions(*packages)},
        "commit": commit(),
        "hardware": {
            "processor": processor(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        "duration_s": round(time.time() - started, 1),
    }
