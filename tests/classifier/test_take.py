"""A classifier taken along runs where qlab is not, and answers what it answers here."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from conftest import NOTEBOOKS
from PIL import Image

from qlab.classifier import answers, resnet, take
from qlab.classifier.partial_qat import keras
from qlab.core import records
from qlab.core.records import Record
from qlab.core.tf import tf

USE = Path(__file__).with_name("use_without_qlab.py")
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


def test_the_lines_are_those_that_the_notebook_shows():
    [notebook] = [p for p in NOTEBOOKS if p.name.startswith("03_")]
    texts = [c.source for c in nbformat.read(notebook, 4).cells if "no qlab" in c.source]
    [shown] = texts
    assert shown.partition("```python\n")[2].partition("```")[0] == USE.read_text()


def test_the_lines_without_qlab_say_the_same(tmp_path):
    keras.utils.set_random_seed(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(resnet.build("resnet8"))
    (tmp_path / "a.tflite").write_bytes(converter.convert())
    about = {"experiment": "e", "model": "m", "dataset": "d", "unit": "1", "variant": "fp32"}
    rows = records.as_table([Record(**about, metric="accuracy", value=0.5)])
    task = SimpleNamespace(model="m", test=SimpleNamespace(classes=NAMES))
    made = take.keep(tmp_path / "mine", task, tmp_path / "a.tflite", rows, {"commit": "c"})
    assert sorted(p.name for p in made.iterdir()) == ["card.json", "labels.txt", "model.tflite"]
    assert json.loads((made / "card.json").read_text())["records"][0]["value"] == 0.5

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
