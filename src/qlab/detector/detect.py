"""Run a .tflite detector on images: its detections in COCO's form, and their cost.

`python -m qlab.detector.detect JSON` measures in a process of its own, so this imports little. JSON
has the arguments of `rounds`, or `{"file": FILE, "threads": N}` for one detection's peak memory.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from qlab.core import timing
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.images.corruptions import corrupt
from qlab.images.photos import AsStored, read_image
from qlab.tflite import graph as tflite_graph
from qlab.tflite.litert import interpreter

POST_PROCESS = "TFLite_Detection_PostProcess"


class Size(NamedTuple):
    """Size of a detector's input; `str` gives one number if it is square."""

    height: int  # pixels
    width: int  # pixels

    def __str__(self) -> str:
        return str(self.height) if self.height == self.width else f"{self.height} x {self.width}"


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Squeeze the whole image bilinearly to uint8 [height, width, 3], as the TF2 zoo does."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


class Detector:
    """A .tflite detector with the TF2 zoo's signature, or one of the zoo's ready files, ending in
    POST_PROCESS; QlabError: others. Without `xnnpack`, LiteRT's older built-in kernels run it."""

    def __init__(self, file: Path, threads: int, xnnpack: bool = True):
        try:
            self.interpreter = interpreter(file.read_bytes(), threads, xnnpack)
        except (OSError, ValueError, RuntimeError) as error:
            raise QlabError(f"{file} cannot be run by LiteRT: {error}") from error
        self.invoke = self.interpreter.invoke  # runs the graph on the image set last
        names = next(iter(self.interpreter.get_signature_list().values()), {}).get("outputs", [])
        self.first = int("detection_boxes" not in names)  # ready files count classes from 0
        if self.first:
            outputs = _post_processed(file, self.interpreter.get_output_details())
        else:
            details = self.interpreter.get_signature_runner().get_output_details()
            outputs = [details[f"detection_{n}"] for n in ("boxes", "classes", "scores")]
        self.order = [o["index"] for o in outputs]
        self.input = self.interpreter.get_input_details()[0]
        shape, kind = self.input["shape"].tolist(), self.input["dtype"]
        if [*shape[:1], *shape[3:]] != [1, 3] or kind not in (np.uint8, np.float32):
            raise QlabError(
                f"{file.name} wants {kind.__name__} {shape} as input; expected uint8 or float32 "
                "[1, height, width, 3]."
            )
        self.size = Size(*shape[1:3])

    def set_image(self, image: np.ndarray) -> None:
        """Copy an image (uint8 [h, w, 3]) into the input tensor, resized and scaled to fit it."""
        image = resized(image, self.size)
        if self.input["dtype"] == np.float32:
            image = (image.astype(np.float32) - 127.5) / 127.5
        self.interpreter.set_tensor(self.input["index"], image[None])

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes [n, 4] (ymin, xmin, ymax, xmax in 0..1), class ids [n] from 1, scores [n]."""
        self.set_image(image)
        self.invoke()
        boxes, classes, scores = (self.interpreter.get_tensor(i)[0] for i in self.order)
        # A quantized graph may answer 71.915 for class 72.
        return boxes, np.rint(classes).astype(int) + self.first, scores


def _post_processed(file: Path, outputs: list[dict]) -> list[dict]:
    """Boxes, classes and scores from outputs in any order, by the order of POST_PROCESS's own."""
    by_name = {o["name"]: o for o in outputs}
    ends = [o.outputs for o in tflite_graph.operators(file) if o.kind == POST_PROCESS]
    found = [by_name[name] for name in (ends[-1] if ends else by_name) if name in by_name]
    shapes = [o["shape"].tolist() for o in found]
    n = shapes[0][1:2] if shapes else []
    if shapes != [[1, *n, 4], [1, *n], [1, *n], [1]]:
        told = ", ".join(f"{o['name']} {o['shape'].tolist()}" for o in outputs)
        raise QlabError(
            f"{file} is no detector known here: expected outputs named as the TF2 zoo's, or the "
            f"four of {POST_PROCESS} (boxes [1, n, 4], classes [1, n], scores [1, n], count [1]); "
            f"found {told}."
        )
    return found[:3]


def coco_results(found, image_id: int, width: int, height: int, where="The detector") -> list[dict]:
    """Detections as COCO's results (x, y, width, height in pixels), without those of score 0, which
    are a graph's padding. QlabError: a score or a box is not finite."""
    boxes, classes, scores = found
    kept = (scores > 0) | ~np.isfinite(scores)
    y0, x0, y1, x1 = np.asarray(boxes, float)[kept].T
    sides = x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height
    rows = np.column_stack([*sides, scores[kept]])
    if not np.isfinite(rows).all():
        raise QlabError(
            f"{where}: the score or box of a detection on image {image_id} is not a finite "
            "number; the model is broken (overflow in fp16, or a bad conversion)."
        )
    image = {"image_id": int(image_id)}
    return [
        image | {"category_id": c, "bbox": [round(v, 3) for v in box], "score": round(s, 6)}
        for c, (*box, s) in zip(classes[kept].tolist(), rows.tolist(), strict=True)
    ]


def detect_each(files: list[Path], images: dict[int, Path], threads: int, worse=None) -> list[list]:
    """COCO results of each detector on images (id -> file), cached together as one artefact;
    `worse` is the kind, strength and seed of a corruption that is applied to the images first."""
    recipe = {"models": [file_sha256(file) for file in files], "threads": threads, "worse": worse}
    recipe["images"] = [(i, file_sha256(p), isinstance(p, AsStored)) for i, p in images.items()]
    recipe["versions"] = versions("ai-edge-litert", "pillow", "numpy")
    recipe["code"] = code_sha256(__name__)

    def make(folder: Path) -> None:
        running = [Detector(file, threads) for file in files]
        results: list[list[dict]] = [[] for _ in files]
        for image_id, path in images.items():
            image = read_image(path)
            if worse:
                image = corrupt(image, *worse[:2], worse[2] + image_id)
            for file, detector, found in zip(files, running, results, strict=True):
                found += coco_results(detector(image), image_id, *image.shape[1::-1], file.name)
        (folder / "detections.json").write_text(json.dumps(results))

    return json.loads((artefact("detections", recipe, make) / "detections.json").read_text())


def rounds(files: dict, picture: str, threads: int, xnnpack: bool, repeats: int, seed=0) -> dict:
    """Seconds that each variant's graph takes, [repeats], run in turn after a warm-up; `files` and
    `picture` are paths."""
    image, calls = read_image(Path(picture)), {}
    for variant, file in files.items():
        detector = Detector(Path(file), threads, xnnpack)
        detector.set_image(image)
        calls[variant] = detector.invoke
    return timing.interleaved(calls, repeats, 2 if repeats > 5 else 1, seed=seed)


def _main(told: dict) -> None:
    if "file" in told:
        Detector(Path(told["file"]), told["threads"])(np.zeros((64, 64, 3), np.uint8))
        return timing.print_peak_memory()
    print(json.dumps({variant: seconds.tolist() for variant, seconds in rounds(**told).items()}))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
