"""Take a variant along: a folder of one's own from which it runs without qlab."""

import shutil
from pathlib import Path

import pandas as pd

from qlab.classifier.data import Task
from qlab.core.take import along, card


def keep(folder: str | Path, task: Task, file: Path, rows: pd.DataFrame, source: dict) -> Path:
    """Write model.tflite, labels.txt (a class a line) and card.json of a variant to `folder`.

    `rows`, its records, and `source`, their provenance, go to the card. See `along`.
    """

    def write(part: Path) -> None:
        shutil.copy(file, part / "model.tflite")
        names = "".join(f"{name}\n" for name in task.test.classes)
        (part / "labels.txt").write_text(names, "utf-8")

    return along(folder, card(task.model, rows, source), write)
