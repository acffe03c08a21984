"""A classifier taken along runs where qlab is not, and answers what it answers here."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Given

import nbformat
import numpy as np
import pytest
from conftest import NOTEBOOKS
from PIL import Image

from qlab.classifier import answers, points
from qlab.classifier.partial_qat import keras
from qlab.core import embedded, paths, records
from qlab.core.records import Record
from qlab.core.take import along, card
from qlab.core.tf import tf

USE = Path(__file__).with_name("use_without_qlab.py")
RESNET = embedded.model_folder("resnet8_shapes32") / "weights.h5"
NAMES = tuple(f"class {i}" for i in range(10))
ALONE = """import json, sys
class Without:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("qlab", "tensorflow", "tf_keras", "torch"):
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Without())
exec(sys.argv[1])
print(json.dumps([labels, scores.tolist()]))
"""


CELLS = [c for p in NOTEBOOKS if p.name.startswith("03_") for c in nbformat.read(p, 4).cells]


def test_the_lines_are_those_that_the_notebook_shows():
    [shown] = [c.source for c in CELLS if "no qlab" in c.source]
    assert shown.partition("```python\n")[2].partition("```")[0] == USE.read_text()


def test_the_lines_without_qlab_say_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    model = keras.models.load_model(RESNET)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (tmp_path / "a.tflite").write_bytes(converter.convert())
    about = {"experiment": "e", "model": "m", "dataset": "d", "unit": "1"}
    point = points.Point("qat", "last", 3, seed=1)
    one = Record(**about, variant=point.variant, metric="accuracy", value=0.5, seed=1)
    here = records.as_table([one, replace(one, variant="fp32", seed=None)])
    task = Given(model="m", place="p", test=Given(classes=NAMES))
    answered = {point: Given(file=tmp_path / "a.tflite")}
    code = [c.source for c in CELLS if c.cell_type == "code"]
    [start] = [i for i, cell in enumerate(code) if "labels.txt" in cell]
    scope = {"answers": answered, "here": here, "task": task, "origin": {"commit": "c"}, "count": 3}
    scope |= {"qat_points": points, "paths": paths, "shutil": shutil, "along": along, "card": card}
    for cell in code[start : start + 2]:
        exec(cell, scope)
    made = scope["taken"]
    assert sorted(p.name for p in made.iterdir()) == ["card.json", "labels.txt", "model.tflite"]
    [told] = json.loads((made / "card.json").read_text())["records"]
    assert told["value"] == 0.5 and told["variant"] == point.variant

    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png")
    lines = USE.read_text().replace("my_classifier", str(made))
    lines = lines.replace("photo.jpg", str(tmp_path / "photo.png"))
    call = [sys.executable, "-c", ALONE, lines]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    labels, scores = json.loads(done.stdout.splitlines()[-1])
    [here] = answers.tflite_probabilities(tmp_path / "a.tflite", image[None])
    assert tuple(labels) == NAMES and scores == pytest.approx(here.tolist(), abs=1e-6)
