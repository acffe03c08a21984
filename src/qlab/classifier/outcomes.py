"""The outcome of each test image: rows from which every interval on images can be computed."""

import numpy as np
import pandas as pd

from qlab.classifier.data import Task
from qlab.classifier.points import FLOAT, Answer, Point
from qlab.classifier.sweep import Answers, Worse

FILE = "tflite"  # the graph that the file computes
MANY = 2_000  # images; beyond this, only the files' answers on uncorrupted images are kept


def table(task: Task, parent: Answer, answers: Answers, worse: Worse) -> pd.DataFrame:
    """One row per image, variant (with seed), graph (of `sweep.GRAPHS`) and condition.

    Further columns: strength, image (its index), label, predicted, confidence (the probability of
    the predicted class) and of_label (of the label); these two are float32 as the graph gave them.
    """
    given, many = {FLOAT: parent, **answers}.items(), len(task.test) > MANY
    of_all = [(p, g, x) for p, a in given for g, x in a.probabilities.items()]
    found = [_rows(task, *one) for one in of_all if one[1] == FILE or not many]
    for drawn, judged in () if many else worse.items():
        found += [_rows(task, point, FILE, x, *drawn) for point, x in judged.items()]
    whole = pd.concat(found, ignore_index=True)
    few = dict.fromkeys(("variant", "graph", "condition"), "category")
    return whole.astype({"seed": "Int16", "strength": "Int8"} | few)


def _rows(task: Task, point: Point, graph: str, found: np.ndarray, *worse) -> pd.DataFrame:
    condition, strength = worse or (None, None)
    small = np.min_scalar_type(found.shape[1] - 1)  # uint8 up to 256 classes
    places, labels = np.arange(len(found), dtype=np.uint32), task.test.labels
    about = {"variant": point.variant, "seed": point.drawn.get("seed"), "graph": graph}
    about |= {"condition": condition, "strength": strength, "image": places}
    about |= {"label": labels.astype(small), "predicted": found.argmax(1).astype(small)}
    about |= {"confidence": found.max(1), "of_label": found[places, labels]}
    return pd.DataFrame(about)
