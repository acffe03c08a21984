"""A classifier taken along runs where qlab is not, and answers what it answers here."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace as Given

import numpy as np
import pytest
import shown
from PIL import Image

from qlab.classifier import answers, export, named, points
from qlab.classifier import model as classifier
from qlab.core import paths, records
from qlab.core.records import Record
from qlab.files.take import along, card

NAMES = [f"class {i}" for i in range(10)]
WITHOUT = ("qlab", "tensorflow", "tf_keras", "torch")


def test_the_lines_that_the_notebook_shows_say_the_same_without_qlab(home):
    file, photo = home / "a.tflite", home / "photo.png"
    file.write_bytes(export.convert(classifier.load(named.found("resnet8_shapes32")[1])))
    point = points.Point("qat", "last", 3, seed=1)
    about = {"experiment": "e", "model": "m", "dataset": "d", "unit": "1", "metric": "accuracy"}
    one = Record(**about, variant=point.variant, value=0.5, seed=1)
    scope = {
        "here": records.as_table([one, replace(one, variant="fp32", seed=None)]),
        "task": Given(model="m", place="p", test=Given(classes=NAMES)),
        "answers": {point: Given(file=file)},
        **{"origin": {"commit": "c"}, "count": 3, "qat_points": points},
        **{"paths": paths, "shutil": shutil, "along": along, "card": card},
    }
    made = shown.run("03_", "labels.txt", "taken = along(", **scope).taken
    assert sorted(p.name for p in made.iterdir()) == ["card.json", "labels.txt", "model.tflite"]
    [told] = json.loads((made / "card.json").read_text())["records"]
    assert told["value"] == 0.5 and told["variant"] == point.variant

    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(image).save(photo)
    also = "print(json.dumps([labels, scores.tolist()]))"
    said = shown.alone("03_", [made], also, str(photo), WITHOUT)
    labels, scores = json.loads(said[-1])
    [expected] = answers.tflite_probabilities(file, image[None])
    assert labels == NAMES and scores == pytest.approx(expected.tolist(), abs=1e-6)
