"""Turn TensorFlow.js graph models (github.com/tensorflow/tfjs) into SavedModels like the zoo's."""

import json
import logging
from pathlib import Path

import numpy as np
from google.protobuf import json_format

from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.detector.quantize import OUTPUTS

FUSED = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative"}
KEPT = ("T", "data_format", "strides", "padding", "explicit_paddings", "dilations")
COCO_IDS = [float(i) for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]


def opened(path: Path) -> Path:
    """The SavedModel of a .json, or of the only one in a folder; any other path is unchanged."""
    found = [path] if path.suffix == ".json" else list(path.glob("*.json"))
    return path if len(found) != 1 or (path / "saved_model.pb").is_file() else saved_model(found[0])


def saved_model(file: Path) -> Path:
    """The SavedModel, made only once, of a TensorFlow.js graph with one input, RGB float32
    [1, H, W, 3] in 0..255, and one output [1, N, 6]: x1, y1, x2, y2 in pixels, score, class (COCO's
    80 in their order, from 0). QlabError: any other graph."""
    try:
        model = json.loads(file.read_text(encoding="utf-8"))
        parts = [file.name, *(name for part in model["weightsManifest"] for name in part["paths"])]
        files = [file_sha256(file.parent / name) for name in parts]
        recipe = {"files": files, "code": code_sha256(__name__), "versions": versions("tensorflow")}
        return artefact("tfjs", recipe, lambda at: _write(model, file, str(at / "model"))) / "model"
    except QlabError:
        raise
    except Exception as error:  # TensorFlow raises many kinds
        why = f"one input [1, H, W, 3], one output [1, N, 6]; {type(error).__name__}: {error}"
        raise QlabError(f"{file} is no graph model of TensorFlow.js with {why}") from error


def _write(model: dict, file: Path, target: str) -> None:
    from qlab.tflite.tf import tf

    read = json_format.ParseDict(model["modelTopology"], tf.compat.v1.GraphDef()).node
    nodes = [part for node in read for part in (_parts(node) if node.op in FUSED else [node])]
    weights = _weights(model["weightsManifest"], file.parent)
    for node in (node for node in nodes if node.op == "Const"):
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
    graph = tf.compat.v1.GraphDef(node=nodes)
    [image] = [node for node in nodes if node.op == "Placeholder"]
    size = [d.size for d in image.attr["shape"].shape.dim[1:3]]
    used = {name.lstrip("^").partition(":")[0] for node in nodes for name in node.input}
    ends = [f"{node.name}:0" for node in nodes if node.name not in used]

    # A graph as in TensorFlow 1: the names of functions would differ from run to run.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        pixels = tf.compat.v1.placeholder(tf.uint8, [1, *size, 3], "input_tensor")
        put = {image.name: tf.cast(pixels, tf.float32)}
        found = tf.graph_util.import_graph_def(graph, put, ends, name="")
        [answer] = [t for t in found if t.shape.rank == 3 and t.shape[2] == 6]
        x1, y1, x2, y2, score, kind = tf.unstack(answer, axis=2)
        boxes = tf.stack([y1, x1, y2, x2], 2) / tf.constant(size * 2, tf.float32)
        kinds, count = tf.gather(COCO_IDS, tf.cast(kind, tf.int32)), [float(kind.shape[1])]
        named = dict(zip(OUTPUTS, (boxes, score, kinds, tf.constant(count)), strict=True))
        logging.disable(logging.WARNING)  # TensorFlow calls its older formats deprecated
        try:
            tf.compat.v1.saved_model.simple_save(session, target, {"input_tensor": pixels}, named)
        finally:
            logging.disable(logging.NOTSET)


def _weights(manifest: list[dict], folder: Path) -> dict[str, np.ndarray]:
    """Arrays by name; those stored as float16, uint8 or uint16 become the values they stand for."""
    found = {}
    for part in manifest:
        content, at = b"".join((folder / name).read_bytes() for name in part["paths"]), 0
        for entry in part["weights"]:
            how, kind, shape = entry.get("quantization", {}), entry["dtype"], entry["shape"]
            raw = np.frombuffer(content, how.get("dtype", kind), int(np.prod(shape)), at)
            at += raw.nbytes
            values = raw * how.get("scale", 1) + how.get("min", 0)
            values = values if kind == "float32" else np.rint(values)
            found[entry["name"]] = values.astype(kind).reshape(shape)
    return found


def _parts(node) -> list:
    """The operators that a fused one joins; the last has its name, which others read."""
    made, inputs = [], list(node.input)
    for kind in (FUSED[node.op], *(step.decode() for step in node.attr["fused_ops"].list.s)):
        take = 1 if made and kind != "BiasAdd" else 2  # inputs; such parts have fewer attributes
        kept = {k: node.attr[k] for k in KEPT[: take if made else None] if k in node.attr}
        if kind == "LeakyRelu":
            kept["alpha"] = node.attr["leakyrelu_alpha"]
        made.append(type(node)(op=kind, name=f"{node.name}/{kind}", input=inputs[:take], attr=kept))
        inputs = [made[-1].name, *inputs[take:]]
    made[-1].name = node.name
    return made
