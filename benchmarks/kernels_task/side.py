"""One variant in a fresh process: what it costs and what it answers; a side brings the engine.

An engine has `start()`, which forgets all it has read; `feed(tokens)`, which reads more and returns
the most probable next token; and `logits(tokens)` of a passage, [tokens, vocabulary]. Imports only
numpy and Python's own modules, because it runs in every environment.
"""

import ctypes
import gc
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(peak: bool = False) -> int:
    """Resident bytes of this process, now or at its peak since `forget_peak`."""
    (kibibytes,) = re.findall(
        rf"^Vm{'HWM' if peak else 'RSS'}:\s*(\d+) kB$", STATUS.read_text(), re.M
    )
    return int(kibibytes) * 1024


def forget_peak() -> None:
    """Return free memory to the system, and let the peak start from what is left."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    RESET.write_text("5")


def measure(engine, told: dict) -> dict:
    """Tokens per second of reading and of writing, each the median over the rounds."""
    prompt, read, write = told["prompt"], [], []

    def once(tokens: int) -> tuple[float, float]:
        engine.start()
        start = time.perf_counter()
        token = engine.feed(prompt)
        middle = time.perf_counter()
        for _ in range(tokens):
            token = engine.feed([token])
        return len(prompt) / (middle - start), tokens / (time.perf_counter() - middle)

    start = time.perf_counter()
    once(2)  # kernels are chosen and packed
    first = time.perf_counter() - start
    once(told["write"])
    for _ in range(told["rounds"]):
        one = once(told["write"])
        read.append(one[0])
        write.append(one[1])
    return {"first_s": first, "read": median(read), "write": median(write)}


def judge(engine, passages: list[dict]) -> dict:
    """The most probable token after every token, and the last word's log-likelihood and rank."""
    choices, likelihoods, right = [], [], []
    for passage in passages:
        tokens, start = passage["tokens"], passage["start"]
        logits = np.asarray(engine.logits(tokens), np.float64)
        best = logits.argmax(-1)
        choices.append(best.tolist())
        judged, wanted = logits[start - 1 : -1], tokens[start:]
        top = judged.max(-1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(judged - top).sum(-1))
        likelihoods.append(float((judged[np.arange(len(wanted)), wanted] - total).sum()))
        right.append(best[start - 1 : -1].tolist() == wanted)
    return {"choices": choices, "log_likelihood": likelihoods, "right": right}


def main(load: Callable[[dict], object]) -> None:
    """Load what standard input describes, measure or judge it, print JSON as the last line."""
    told = json.loads(sys.stdin.read())
    imports, start = memory(), time.perf_counter()
    engine = load(told)
    seconds, loading = time.perf_counter() - start, memory(peak=True)
    if told["passages"]:
        found = judge(engine, told["passages"])
    else:
        forget_peak()
        found = {"memory_imports": imports, "memory_loading": loading, "load_s": seconds}
        found |= measure(engine, told)
        found["memory_inference"] = memory(peak=True)
    print(json.dumps(found))
