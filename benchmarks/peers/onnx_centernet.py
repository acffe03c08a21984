"""ONNX Runtime's side of the comparison; `onnx_peer.py` runs it in the peers' own environment.

    onnx_centernet.py convert FP32.tflite CALIBRATION.npy FOLDER LEFT_FLOAT
    onnx_centernet.py detect MODEL.onnx IMAGES.npy OUTPUTS.npz
    onnx_centernet.py serve THREADS IMAGE.npy VARIANT=MODEL.onnx ...

CALIBRATION and IMAGES are uint8 [n, 1, H, W, 3], IMAGE is uint8 [1, H, W, 3]. Imports nothing of
qlab, only what requirements.txt beside it names.
"""

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

OPSET = 17
WEIGHTED = {"Conv", "ConvTranspose"}


def decoding(model) -> list[str]:
    """Names of the nodes after which no weights come, as in `qlab.tflite.graph.decoding`."""
    needed: set[str] = set()
    after = []
    for node in reversed(model.graph.node):
        if node.op_type in WEIGHTED or needed & set(node.output):
            needed |= set(node.input)
        else:
            after.append(node.name)
    return after


def convert(tflite: Path, calibration: Path, folder: Path, left_float: str) -> None:
    """Write onnx_fp32, onnx_int8_dynamic and onnx_int8_selective into `folder`.

    The static one has weights per channel and uint8 activations (U8S8), as ONNX Runtime's manual
    advises for x86 with VNNI. Decoding stays float in both, and what has `left_float` in its name
    in the static one. The dynamic one's weights are per tensor, which ruins depthwise convolutions
    (AP .013 instead of .28 on 8 images of the trained CenterNet): these stay float.
    """
    import onnx
    import tf2onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    kinds = quantization.QuantType
    fp32, prepared = folder / "onnx_fp32.onnx", folder / "prepared.onnx"
    tf2onnx.convert.from_tflite(str(tflite), opset=OPSET, output_path=str(fp32))
    quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
    model = onnx.load(str(prepared))
    nodes, after = model.graph.node, decoding(model)
    depthwise = [n.name for n in nodes if any(a.name == "group" and a.i > 1 for a in n.attribute)]
    named = [n.name for n in nodes if left_float and left_float in n.output[0]]
    quantization.quantize_dynamic(
        prepared,
        folder / "onnx_int8_dynamic.onnx",
        weight_type=kinds.QUInt8,  # the CPU's ConvInteger takes no int8 weights, nor per channel
        nodes_to_exclude=after + depthwise,
    )
    quantization.quantize_static(
        prepared,
        folder / "onnx_int8_selective.onnx",
        Images(calibration, model.graph.input[0].name),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=kinds.QUInt8,
        weight_type=kinds.QInt8,
        nodes_to_exclude=after + named,
    )
    prepared.unlink()


class Images:
    """Calibration images one by one, as an `onnxruntime.quantization.CalibrationDataReader`."""

    def __init__(self, file: Path, name: str):
        self.rest = iter([{name: image} for image in np.load(file)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rest, None)


def session(model: str, threads: int) -> onnxruntime.InferenceSession:
    """A model on the CPU, with all graph optimizations on (the default)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait in a loop for work would take a core from whatever is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def detect(model: str, images: Path, outputs: Path) -> None:
    """Run a model on each image and store its outputs by name, images along the first axis."""
    runner = session(model, 2)
    name, names = runner.get_inputs()[0].name, [o.name for o in runner.get_outputs()]
    found = [runner.run(names, {name: image}) for image in np.load(images)]
    stacked = [np.concatenate(values) for values in zip(*found, strict=True)]
    np.savez(outputs, **dict(zip(names, stacked, strict=True)))


def serve(threads: int, image: Path, models: dict[str, str]) -> None:
    """Answer each line on stdin, a variant's name, with the seconds that one run of it took."""
    feed = np.load(image)
    runners = {name: session(model, threads) for name, model in models.items()}
    print("ready", flush=True)
    for line in sys.stdin:
        runner = runners[line.strip()]
        inputs = {runner.get_inputs()[0].name: feed}
        start = time.perf_counter()
        runner.run(None, inputs)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    task, *rest = sys.argv[1:]
    if task == "convert":
        convert(*map(Path, rest[:3]), rest[3])
    elif task == "detect":
        detect(rest[0], Path(rest[1]), Path(rest[2]))
    else:
        serve(int(rest[0]), Path(rest[1]), dict(pair.split("=", 1) for pair in rest[2:]))
