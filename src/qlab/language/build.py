"""Folders of a notebook's variants and scores of their models: made once, kept by content.

All lies under build/, named by what decides its bytes, including the text of a notebook's
functions. `take` copies a variant for use elsewhere.
"""

import dataclasses
import inspect
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from peft import PeftModel

from qlab.core import cache, paths, processes
from qlab.core.errors import QlabError
from qlab.core.progress import bar
from qlab.files.take import along, card
from qlab.language import checkpoint, decoder, lambada, scoring, streaming, training
from qlab.language.data import Task
from qlab.language.quantized import Library, Method
from qlab.language.scoring import Scores

log = logging.getLogger(__name__)
LIBRARIES = ("torch", "transformers", "auto-gptq", "auto-round", "bitsandbytes", "peft")
PARENTS = {"float32": ("fp32", 32), "float16": ("fp16", 16), "bfloat16": ("bf16", 16)}
Making = Mapping[str, Method | Library]  # variant -> how it is made


@dataclass(frozen=True)
class Variant:
    """A variant as stored: a Hugging Face folder and, where one was trained, an adapter for it."""

    name: str  # as in the records
    how: Method | Library  # how it was made; for the float model, how it is stored
    folder: Path
    adapter: Path | None = None
    layers: tuple[str, ...] | None = None  # linear layers that are its own, others float; None: all

    @property
    def about(self) -> dict[str, Any]:
        """Columns of its records: method (None: float), bits per weight, weights per scale."""
        method = "_".join(filter(None, [self.how.kind, "lora" if self.adapter else None])) or None
        return {"method": method, "bits": self.how.bits, "group_size": self.how.group_size}

    @property
    def folders(self) -> list[Path]:
        """All of its folders, whose bytes together are its size."""
        return [folder for folder in (self.folder, self.adapter) if folder]


Variants = dict[str, Variant]


def chosen(task: Task, making: Making, asked: str = "") -> dict[str, Method | Library]:
    """Those of `making` that a comma-separated text names, else all that fit the model's widths;
    the ones left out are logged. QlabError: a named one is unknown or does not fit."""
    names = [name.strip() for name in asked.split(",") if name.strip()]
    shapes, found = decoder.shapes(checkpoint.read_config(task.folder)), {}
    for name in names or making:
        if name not in making:
            raise QlabError(f"There is no variant {name!r}; there are {', '.join(making)}.")
        try:
            making[name].check(shapes)
            found[name] = making[name]
        except QlabError as error:
            if names:
                raise
            log.warning("%s is left out: %s", name, error)
    return found


def folders(task: Task, making: Making, progress=iter) -> Variants:
    """Each variant's folder, made if missing; the float parent first, then one given quantized."""
    parent, bits = PARENTS[task.choice.dtype]
    found = {parent: Variant(parent, Library(None, bits), task.folder)}
    if task.as_is:
        found["as_is"] = Variant("as_is", streaming.stored(task.as_is), task.as_is)
    making = {n: how for n, how in making.items() if n != parent}
    # Here and not in another process, which cannot read the text of a notebook's functions.
    made_by = {n: recipe(task, how) for n, how in making.items()}
    missing = [n for n in making if not cache.address("decoder", made_by[n]).is_dir()]
    left = sum(making[n].bits for n in missing)
    least = left * decoder.count(decoder.empty(checkpoint.read_config(task.folder))) // 8
    build = next(p for p in (paths.build(), *paths.build().parents) if p.exists())
    if 1.05 * least > (free := shutil.disk_usage(build).free):  # 5 % for headers and records
        needs, has = (f"{n / 1e6:,.0f} MB" for n in (least, free))
        raise QlabError(
            f"Quantizing {task.model} will take {needs} in {paths.build()}, where {has} can be "
            "written. Choose fewer with the parameter 'variants', free some space, or set "
            "QLAB_HOME to a folder with more."
        )
    fill = {n: partial(_fill, task, n, how) for n, how in making.items()}
    calls = {n: partial(cache.artefact, "decoder", made_by[n], fill[n]) for n in making}
    made = each(task, calls, progress)
    return found | {n: Variant(n, making[n], folder) for n, folder in made.items()}


def _fill(task: Task, name: str, how: Method | Library, target: Path) -> None:
    if isinstance(how, Library):
        how.make(task, target, **how.settings)
    else:
        where, steps = (task.choice.device, task.choice.dtype), bar(f"{name}: blocks")
        streaming.quantize_folder(task.folder, how, task.calibration_tokens, target, *where, steps)


def recipe(task: Task, how: Method | Library) -> dict[str, Any]:
    """All that decides the bytes of a variant's folder."""
    parts = how.settings() if isinstance(how, Method) else {"make": how.make, **how.settings}
    return {
        "model": task.parent,
        "how": {"type": _text(type(how)), **{n: _text(part) for n, part in parts.items()}},
        "calibration": lambada.digest(task.calibration),
        **_made_with(task),
    }


def _text(part: Any) -> Any:
    """A setting as a recipe has it; a notebook's function or class is represented by its source."""
    if not callable(part):
        return part
    return inspect.getsource(part) if part.__module__ == "__main__" else part.__qualname__


def _made_with(task: Task) -> dict[str, Any]:
    """What of code and machine decides the last digits; build/ never moves to another processor."""
    where = {"device": task.choice.device, "dtype": task.choice.dtype}
    where |= {"threads": task.threads} if task.choice.device == "cpu" else {}
    return where | {"code": cache.code_sha256(__name__), "versions": cache.versions(*LIBRARIES)}


def adapted(task: Task, variants: Variants, train: Callable, progress=iter, **settings) -> Variants:
    """The variants with an adapter each, trained by `train(folder, training, **settings)`.
    `training`, a `Training`, knows the batches and lets a killed run go on."""
    common = {"training": lambada.digest(task.training), "train": _text(train)}
    common |= {**settings, **_made_with(task)}
    calls = {}
    for n, variant in variants.items():
        target = cache.address("adapter", {"base": cache.file_sha256(variant.folder), **common})
        calls[n] = partial(_adapter, task, variant, target, train, settings)
    made = each(task, calls, progress)
    lora = {n: {"name": f"{n}_lora", "adapter": adapter} for n, adapter in made.items()}
    return {new["name"]: dataclasses.replace(variants[n], **new) for n, new in lora.items()}


def _adapter(task: Task, variant: Variant, target: Path, train: Callable, settings: dict) -> Path:
    if not target.exists():
        steps = training.Training(target, task.training_tokens, bar(f"{variant.name}: steps"))
        training.save_adapter(train(variant.folder, steps, **settings), steps)
    return target


def load(task: Task, variant: Variant):
    """The model on which a variant's accuracy is measured: dense weights, with an adapter's product
    (Hu et al., arXiv 2106.09685) added; a method that rounds inputs too runs on its own kernels."""
    how, where = variant.how, (task.choice.dtype, task.choice.device)
    if not how.weight_only and not variant.adapter and variant.layers is None:
        return streaming.load_packed(variant.folder, task.choice.device)
    made = streaming.load_dense(variant.folder, *where, how if isinstance(how, Method) else None)
    if variant.adapter:
        return PeftModel.from_pretrained(made, str(variant.adapter)).merge_and_unload().eval()
    if variant.layers is None:
        return made
    model = streaming.load_dense(task.folder, *where)
    for name in variant.layers:
        model.get_submodule(name).weight = made.get_submodule(name).weight
    return model


def evaluate(task: Task, variants: Variants, progress=iter) -> dict[str, Scores]:
    """Scores of each variant on the task's passages; divergence is from the first, the parent."""
    (parent, first), *others = variants.items()
    calls = {n: partial(_scores, task, variant, first) for n, variant in others}
    found = {parent: _one(task, partial(_scores, task, first, first))}
    return found | each(task, calls, progress)


def _scores(task: Task, variant: Variant, parent: Variant) -> Scores:
    def of(one: Variant) -> dict[str, Any]:
        hashes = [cache.file_sha256(folder) for folder in one.folders]
        judging = {"parent": task.parent, "passages": lambada.digest(task.passages)}
        return {"variant": hashes, "layers": one.layers, **judging, **_made_with(task)}

    def make(folder: Path) -> None:
        model, steps = load(task, variant), bar(f"{variant.name}: batches")
        own, shape = variant == parent, (len(task.encoded), model.config.vocab_size)
        place = folder if own else cache.address("scores", of(parent))
        kept = scoring.reference(place / "reference.npy", shape if own else None)
        found = scoring.score(model, task.encoded, steps, kept)
        np.savez_compressed(folder / "scores.npz", **vars(found))

    folder = cache.artefact("scores", of(variant), make)
    with np.load(folder / "scores.npz", allow_pickle=False) as stored:
        return Scores(**stored)


def each(task: Task, calls: Mapping[str, Callable[[], Any]], progress=iter) -> dict[str, Any]:
    """Run the calls and return each one's result by name. The calls of a small task are shared
    among as many processes as the task was given threads."""
    # A larger model might not fit into memory twice; for smoke, processes take too long to start.
    alone = task.given.profile == "smoke" or task.threads > 1
    most = 1 if alone else task.given.threads
    made = processes.starmap(_one, [(task, call) for call in calls.values()], most, progress)
    return dict(zip(calls, made, strict=True))


def _one(task: Task, call: Callable[[], Any]) -> Any:
    torch.set_num_threads(task.threads)  # here, because this may be another process
    return call()


def take(folder: str | Path, task, variant: Variant, rows: pd.DataFrame, source: dict) -> Path:
    """Write to `folder`, and return, a variant's model folder, which runs without qlab, and a card
    of `rows`, its records, and `source`, their provenance. QlabError: it holds something else."""

    def write(part: Path) -> None:
        told = shutil.ignore_patterns("recipe.json")  # it belongs to build/
        shutil.copytree(variant.folder, part, dirs_exist_ok=True, ignore=told)
        if variant.adapter:
            shutil.copytree(variant.adapter, part / "adapter")
        streaming.name_the_embedding(part)

    return along(folder, card(task.model, rows, source), write)
