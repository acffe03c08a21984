"""A tiny detector as TensorFlow.js files, made for tests."""

import base64
import json

import numpy as np

FLOAT, INT = {"type": "DT_FLOAT"}, {"type": "DT_INT32"}
RNG = np.random.default_rng(3)
# How the convolution's weights are stored.
STORED = {
    "float32": {},
    "float16": {"dtype": "float16"},
    "uint8": {"dtype": "uint8", "scale": 0.01, "min": -1.2},
    "uint16": {"dtype": "uint16", "scale": 1e-4, "min": -0.01},
}


def write(folder, kind="float32", depthwise=False, steps=("Relu6",), sides=(4, 8), **changes):
    """A fused convolution to six channels, of which each pixel is a detection.

    Returns the file and what its weights stand for; `changes` replace parts of the model.
    """
    how = STORED[kind]
    weights = RNG.normal(0, 0.3, (3, 3, 3, 2 if depthwise else 6)).astype("float32")
    stored = weights.astype(how.get("dtype", "float32"))
    if "scale" in how:
        stored = RNG.integers(0, 240, weights.shape).astype(kind)
    meant = stored * how.get("scale", 1) + how.get("min", 0)
    bias = np.array([0.1, -0.2, 0.3, 0.0, 0.2, 40], "float32")  # so that classes are in 0..79
    arrays = {"w": stored, "b": bias, "shape": np.array([1, -1, 6], "int32")}
    types = {"w": "float32", "b": "float32", "shape": "int32"}
    entries = [{"name": n, "shape": a.shape, "dtype": types[n]} for n, a in arrays.items()]
    entries[0] |= {"quantization": how} if how else {}
    content = b"".join(a.tobytes() for a in arrays.values())
    for name, part in {"a.bin": content[:333], "b.bin": content[333:]}.items():
        (folder / name).write_bytes(part)

    fused = [base64.b64encode(step.encode()).decode() for step in ("BiasAdd", *steps)]
    ones = {"list": {"i": ["1"] * 4}}
    convolution = {
        "T": FLOAT, "strides": ones, "dilations": ones, "padding": {"s": "U0FNRQ=="},
        "data_format": {"s": "TkhXQw=="}, "fused_ops": {"list": {"s": fused}},
        "num_args": {"i": "1"}, "epsilon": {"f": 0}, "leakyrelu_alpha": {"f": 0.4},
    }  # fmt: skip
    op = "FusedDepthwiseConv2dNative" if depthwise else "_FusedConv2D"
    size = {"shape": {"dim": [{"size": str(d)} for d in (-1, *sides, 3)]}}
    nodes = [
        *({"name": n, "op": "Const", "attr": {"dtype": INT if n == "shape" else FLOAT}}
          for n in arrays),
        {"name": "x", "op": "Placeholder", "attr": {"dtype": FLOAT, "shape": size}},
        {"name": "conv", "op": op, "input": ["x", "w", "b"], "attr": convolution},
        {"name": "out", "op": "Reshape", "input": ["conv", "shape"],
         "attr": {"T": FLOAT, "Tshape": INT}},
    ]  # fmt: skip
    manifest = [{"paths": ["a.bin", "b.bin"], "weights": entries}]
    model = {"modelTopology": {"node": nodes}, "weightsManifest": manifest} | changes
    (folder / "model.json").write_text(json.dumps(model))
    return folder / "model.json", meant.astype("float32"), bias
