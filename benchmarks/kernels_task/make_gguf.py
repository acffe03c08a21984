"""`make_gguf.py GGUF OUT KIND...`: convert a GGUF file's weights to other kinds, via float32."""

import sys
from pathlib import Path

import llama_cpp


def write(source: str, target: str, kind: str) -> None:
    """Write a file of one kind; RuntimeError if llama.cpp fails to."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_{kind}")
    settings.allow_requantize = True
    if status := llama_cpp.llama_model_quantize(source.encode(), target.encode(), settings):
        raise RuntimeError(f"llama.cpp did not write {kind} (status {status}).")


if __name__ == "__main__":
    source, out, *kinds = sys.argv[1:]
    exact = str(Path(out, "ALL_F32.gguf"))
    write(source, exact, "ALL_F32")  # the same values: Q4_1 and Q8_0 times their scales
    for kind in kinds:
        write(exact, str(Path(out, f"{kind}.gguf")), kind)
