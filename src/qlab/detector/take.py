"""Take a variant along in a folder of your own, from which it runs without qlab."""

import json
import shutil
from pathlib import Path

from qlab.detector.data import Task
from qlab.files.take import along, card


def keep(folder: str | Path, task: Task, file: Path, recipe, rows, source: dict) -> Path:
    """Write a variant's model.tflite, labels.txt (ids as the model counts, and names), recipe.json,
    and card.json with its records `rows` and their provenance `source`, as `along` does."""
    about = {"variant": rows["variant"].iloc[0], "recipe": recipe}
    labels = [f"{i} {c['name']}\n" for i, c in sorted(task.coco.cats.items())]

    def write(part: Path) -> None:
        shutil.copy(file, part / "model.tflite")
        (part / "labels.txt").write_text("".join(labels), "utf-8")
        text = json.dumps(about, indent=2, sort_keys=True, default=str)
        (part / "recipe.json").write_text(text + "\n", "utf-8")

    return along(folder, card(task.model, rows, source), write)
