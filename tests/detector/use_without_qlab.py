"""Run a detector that was taken along: `folder` and `picture` name it and an image."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

folder, picture = Path("my_detector"), "photo.jpg"  # yours

labels = dict(line.split(" ", 1) for line in (folder / "labels.txt").read_text().splitlines())
detect = Interpreter(str(folder / "model.tflite"), num_threads=2).get_signature_runner()
_, height, width, _ = detect.get_input_details()["input_tensor"]["shape"]
with Image.open(picture) as stored:
    image = ImageOps.exif_transpose(stored)  # upright, as viewers show it
    small = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    wide, high = image.size
found = detect(input_tensor=np.asarray(small)[None])
boxes = found["detection_boxes"][0] * [high, wide, high, wide]  # top, left, bottom, right
kinds = np.rint(found["detection_classes"][0]).astype(int)
for box, kind, score in zip(boxes, kinds, found["detection_scores"][0], strict=True):
    if score >= 0.3:
        print(f"{labels[str(kind)]} {score:.2f} at {box.round().astype(int).tolist()}")
