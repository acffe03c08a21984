"""What both sides report about themselves; imports only Python's own modules."""

import importlib.metadata
import json
import sys
import time
from pathlib import Path


def peak_memory() -> int:
    """Peak resident bytes of this process."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def tell(target: str, passages: int, acc: float, perplexity: float) -> None:
    """Write results, peak memory, processor seconds and versions as JSON."""
    told = {
        "passages": passages,
        "acc": acc,
        "perplexity": perplexity,
        "peak_memory_bytes": peak_memory(),
        "cpu_seconds": time.process_time(),
        "versions": {p: importlib.metadata.version(p) for p in ("torch", "transformers")},
    }
    Path(target).write_text(json.dumps(told))
