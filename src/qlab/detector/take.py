"""Take a variant along: a folder of one's own from which it runs without qlab."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from qlab.core.cache import file_sha256, written_whole
from qlab.core.errors import QlabError
from qlab.core.secrets import known, redact
from qlab.detector.data import Task

FILES = {"model.tflite", "labels.txt", "recipe.json", "card.json"}


def keep(
    folder: str | Path, task: Task, file: Path, recipe: Any, rows: pd.DataFrame, source: dict
) -> Path:
    """Write FILES of a variant to `folder`, anew where such a folder is there; returns it.

    `file` is its .tflite, `recipe` the quantizer's (None without one); `rows`, its records, go to
    the card beside `source`, their provenance. A line of labels is an id as the model counts and
    the category's name. QlabError: the folder holds something else.
    """
    target = Path(folder).expanduser().resolve()
    there = {p.name for p in target.iterdir()} if target.is_dir() else set()
    if there - FILES or (there and "card.json" not in there) or target.is_file():
        raise QlabError(
            f"{target} holds something else than a detector taken along; nothing was written. "
            "Name a folder that is new or empty."
        )
    variant, numbers = rows["variant"].iloc[0], rows.dropna(axis=1, how="all").to_dict("records")
    card = {"model": task.model, "variant": variant, "sha256": file_sha256(file)}
    card |= {"provenance": source, "records": numbers}
    made = {"recipe": {"variant": variant, "recipe": recipe}, "card": card}
    labels = [f"{i} {c['name']}\n" for i, c in sorted(task.coco.cats.items())]
    with written_whole(target) as part:
        part.mkdir()
        shutil.copy(file, part / "model.tflite")
        (part / "labels.txt").write_text("".join(labels), "utf-8")
        for name, content in made.items():
            text = json.dumps(content, indent=2, sort_keys=True, default=str)
            # A parameter in the provenance may have been given a token.
            (part / f"{name}.json").write_text(redact(text, known()) + "\n", "utf-8")
        shutil.rmtree(target, ignore_errors=True)  # as it was seen above: one's own, or empty
    return target
