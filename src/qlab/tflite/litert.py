"""LiteRT, its quantizer and TensorFlow's converter to it, without their chatter."""

import contextlib
import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from qlab.core import quiet
from qlab.core.errors import QlabError


def interpreter(content: bytes, threads: int, xnnpack: bool = True, keep: bool = False):
    """A LiteRT interpreter of a .tflite's bytes, tensors allocated; `keep` makes all readable."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with quiet.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the memory that `keep` takes
        made = Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=kernels,
            experimental_preserve_all_tensors=keep,
        )
        made.allocate_tensors()
    return made


def values(content: bytes, names: Iterable[str], samples: Iterable[Mapping], threads: int) -> dict:
    """Values of a .tflite's named tensors, as floats: by name a list of arrays, one per sample."""
    runner = interpreter(content, threads, keep=True)
    details = {d["name"]: d for d in runner.get_tensor_details()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for sample in samples:
        runner.set_tensor(runner.get_input_details()[0]["index"], *sample.values())
        runner.invoke()
        for name, arrays in found.items():
            scale, zero = details[name]["quantization"]
            codes = runner.get_tensor(details[name]["index"]).astype(np.float32)
            arrays.append((codes - zero) * np.float32(scale) if scale else codes)
    return found


@contextlib.contextmanager
def quiet_quantizer():
    """Silence ai-edge-quantizer, which writes to stdout and stderr whatever its settings."""
    out, err = contextlib.redirect_stdout, contextlib.redirect_stderr
    with quiet.quiet(), io.StringIO() as hidden, out(hidden), err(hidden):
        yield


def quantized(float_file: Path, rules: list[dict], ranges: Mapping, pattern: str) -> bytes:
    """A .tflite in which ai-edge-quantizer quantized only the operators that match `pattern`."""
    from ai_edge_quantizer import quantizer

    made = quantizer.Quantizer(str(float_file))
    made.load_quantization_recipe([{**rule, "regex": pattern} for rule in rules])
    with quiet_quantizer():
        return bytes(made.quantize(ranges).quantized_model)


@contextlib.contextmanager
def quiet_converter():
    """Silence `tf.lite.TFLiteConverter.convert()`. A QlabError names the operators that LiteRT
    lacks, for which the converter itself prints a page of MLIR."""
    try:
        with quiet.quiet():
            yield
    except Exception as error:  # ConverterError lies in a private module of TensorFlow
        lacking = {e.operator.name.removeprefix("tf.") for e in getattr(error, "errors", [])}
        if not (lacking := sorted(lacking - {""})):
            raise
        raise QlabError(
            f"LiteRT has no operator for {', '.join(lacking)} of this model; write that with "
            "others and export it again, or leave it out of the graph."
        ) from None
