"""TensorFlow.js graph models, read into SavedModels with the TF2 detection zoo's signature.

Such a file is a GraphDef in JSON, with its convolutions fused and its constants in shards beside it
(https://github.com/tensorflow/tfjs/tree/master/tfjs-converter).
"""

import inspect
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format

from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError

FUSED = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative"}
STEPS = ("BiasAdd", "Relu", "Relu6", "Elu", "Sigmoid", "Tanh")  # what they may be fused with
GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # COCO counts its 80 categories from 1 to 90


def graph_model(path: Path) -> Path | None:
    """The .json that a path names or is the only one in, where no SavedModel is; else None."""
    if path.suffix == ".json":
        return path
    found = [] if (path / "saved_model.pb").is_file() else list(path.glob("*.json"))
    return found[0] if len(found) == 1 else None


def saved_model(file: Path) -> Path:
    """The SavedModel of a TensorFlow.js detector, made once.

    The graph has one input, RGB float32 [1, H, W, 3] in 0..255, and one output [1, N, 6]: x1, y1,
    x2, y2 in pixels of the input, score, class 0..79. Images of any size are resized to H x W.
    QlabError: another graph, an operator that is not known, weights that are missing or cut.
    """
    try:
        model = json.loads(file.read_text(encoding="utf-8"))
        shards = [file.parent / name for part in model["weightsManifest"] for name in part["paths"]]
        recipe = {"files": [file_sha256(f) for f in (file, *shards)], "code": code_sha256(__name__)}
        recipe |= {"versions": versions("tensorflow")}
        return artefact("tfjs", recipe, lambda at: _write(model, file, at / "model")) / "model"
    except (KeyError, TypeError, ValueError, FileNotFoundError, json_format.Error) as error:
        why = f"{type(error).__name__}: {error}"
        raise QlabError(f"{file} is no whole TensorFlow.js graph model ({why}).") from error


def _write(model: dict[str, Any], file: Path, target: Path) -> None:
    from qlab.core.tf import tf

    graph = _graph(model["modelTopology"], _weights(model["weightsManifest"], file.parent), file)
    shapes = [n.attr["shape"].shape.dim for n in graph.node if n.op == "Placeholder"]
    if [[d.size for d in shape[3:]] for shape in shapes] != [[3]]:
        raise QlabError(f"{file} has not one input [1, H, W, 3], as a detector has.")
    put = next(node.name for node in graph.node if node.op == "Placeholder")
    read = {name.lstrip("^").partition(":")[0] for node in graph.node for name in node.input}
    ends = [f"{node.name}:0" for node in graph.node if node.name not in read]
    height, width = (d.size for d in shapes[0][1:3])
    ids = [float(i) for i in range(1, 91) if i not in GAPS]

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, "input_tensor")])
    def detect(input_tensor):
        image = tf.image.resize(tf.cast(input_tensor, tf.float32), [height, width])
        found = tf.graph_util.import_graph_def(graph, {put: image}, ends, name="")
        boxes = [t for t in found if t.shape.rank == 3 and t.shape[2] == 6]
        if len(boxes) != 1:
            told = ", ".join(f"{t.name} {t.shape}" for t in found)
            raise QlabError(f"{file} has not one output [1, N, 6], as a detector has: {told}.")
        x1, y1, x2, y2, score, kind = tf.unstack(boxes[0], axis=2)
        return {
            "detection_boxes": tf.stack([y1 / height, x1 / width, y2 / height, x2 / width], 2),
            "detection_scores": score,
            "detection_classes": tf.gather(tf.constant(ids), tf.cast(kind, tf.int32)),
            "num_detections": tf.constant([float(score.shape[1])]),
        }

    module = tf.Module()
    module.detect = detect
    tf.saved_model.save(module, str(target), {"serving_default": detect})
    (target / "fingerprint.pb").unlink()  # it has a random number: each would be another parent


def _weights(manifest: list[dict[str, Any]], folder: Path) -> dict[str, np.ndarray]:
    """Arrays by name; those stored as float16, uint8 or uint16 as what they stand for."""
    found = {}
    for part in manifest:
        content, at = b"".join((folder / name).read_bytes() for name in part["paths"]), 0
        for entry in part["weights"]:
            how, kind, shape = entry.get("quantization", {}), entry["dtype"], entry["shape"]
            raw = np.frombuffer(content, how.get("dtype", kind), math.prod(shape), at)
            at += raw.nbytes
            values = raw * how["scale"] + how["min"] if "scale" in how else raw
            values = np.rint(values) if kind == "int32" else values
            found[entry["name"]] = values.astype(kind).reshape(shape)
    return found


def _graph(topology: dict[str, Any], weights: dict[str, np.ndarray], file: Path):
    """The GraphDef with its constants, and each fused operator as the ones that it joins."""
    from qlab.core.tf import tf

    graph = tf.compat.v1.GraphDef()
    for node in json_format.ParseDict(topology, tf.compat.v1.GraphDef()).node:
        node.device = ""
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
        # Reading an attribute that is not there would make an empty one.
        fused = node.attr["fused_ops"].list.s if node.op in FUSED else []
        inputs, steps = list(node.input), [step.decode() for step in fused]
        kinds = [FUSED.get(node.op, node.op), *steps]
        for kind in kinds:
            if not hasattr(tf.raw_ops, kind) or (kind in steps and kind not in STEPS):
                raise QlabError(f"{file}: the operator {kind} at {node.name} is not known.")
        if node.op not in FUSED:
            graph.node.append(node)
            continue
        for kind in kinds:
            count = 2 if kind in ("BiasAdd", kinds[0]) else 1
            part = graph.node.add(op=kind, name=f"{node.name}/{kind}", input=inputs[:count])
            inputs = [part.name, *inputs[count:]]
            for key in {"T", *inspect.signature(getattr(tf.raw_ops, kind)).parameters}:
                if key in node.attr:
                    part.attr[key].CopyFrom(node.attr[key])
        part.name = node.name  # which others read
    return graph
