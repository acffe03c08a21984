"""Run a classifier that was taken along: `folder` and `picture` name it and an image."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

folder, picture = Path("my_classifier"), "photo.jpg"  # yours

labels = (folder / "labels.txt").read_text().splitlines()
classifier = Interpreter(str(folder / "model.tflite"), num_threads=2)
classifier.allocate_tensors()
entry, answer = classifier.get_input_details()[0], classifier.get_output_details()[0]
_, height, width, _ = entry["shape"]
with Image.open(picture) as stored:
    image = ImageOps.exif_transpose(stored).convert("RGB")  # upright, as viewers show it
    # All of it; images of a folder were judged on their centre square, of 7/8 of the shorter side.
    image = image.resize((width, height), Image.Resampling.BILINEAR)
classifier.set_tensor(entry["index"], np.asarray(image, np.float32)[None])
classifier.invoke()
scores = classifier.get_tensor(answer["index"])[0]
print(f"{labels[scores.argmax()]} {scores.max():.2f}")
