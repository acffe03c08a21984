"""The folders of a notebook's variants, and what each model says: made once, kept by content.

Everything lies under build/, so a killed run goes on; what decides a folder's bytes, the text of a
notebook's own functions among it, is in its name.
"""

import contextlib
import dataclasses
import difflib
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from qlab.core import cache, disk, paths, processes
from qlab.core.cache import code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.core.progress import bar
from qlab.language import decoder, formats, lora, passages, scoring, sizes, streaming
from qlab.language.data import EMBEDDED_MODEL, EVEN, Task
from qlab.language.lambada import Encoded
from qlab.language.quantized import Library, Method
from qlab.language.scoring import Reference, Scores
from qlab.language.training import Training

log = logging.getLogger(__name__)
LIBRARIES = ("torch", "transformers", "auto-gptq", "auto-round", "bitsandbytes", "peft")
PARENTS = {"float32": ("fp32", 32), "float16": ("fp16", 16), "bfloat16": ("bf16", 16)}
PROCESSES = {"smoke": 1}  # at most, that share the embedded model's variants; else 4
Making = Mapping[str, Method | Library]  # variant -> how it is made


class About(NamedTuple):
    """Columns of a variant's records."""

    method: str | None  # None: float
    bits: int  # of a weight
    group_size: int | None = None  # weights that share a scale


@dataclass(frozen=True)
class Variant:
    """What is stored of a variant: a Hugging Face folder, and an adapter for it where trained."""

    name: str  # as in the records
    about: About
    folder: Path
    adapter: Path | None = None
    weight_only: bool = True  # whether its dense weights behave as it runs
    layers: tuple[str, ...] | None = None  # only these linear layers are its own, others float

    @property
    def folders(self) -> list[Path]:
        """All of its folders: their bytes together are its size."""
        return [self.folder] + ([self.adapter] if self.adapter else [])


Variants = dict[str, Variant]


def chosen(task: Task, making: Making, asked: str = "") -> dict[str, Method | Library]:
    """Those that a comma-separated text names, else all whose groups divide the model's widths.

    What is left out is said. QlabError: a name that is not there, or one that does not fit.
    """
    names = [name.strip() for name in asked.split(",") if name.strip()]
    shapes = decoder.shapes(decoder.read_config(task.folder))
    for name in names:
        if name not in making:
            near = difflib.get_close_matches(name, making, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise QlabError(f"There is no variant {name!r}.{hint} There are {', '.join(making)}.")
        making[name].check(shapes)
    found, why = {}, {}
    for name in names or making:
        try:
            making[name].check(shapes)
            found[name] = making[name]
        except QlabError as error:
            why[str(error)] = [*why.get(str(error), []), name]
    for sentence, left in why.items():
        log.warning("Left out: %s. %s", ", ".join(left), sentence)
    return found


def folders(task: Task, making: Making, progress=iter) -> Variants:
    """Each variant's folder, the float parent first, then the folder that was given quantized.

    A variant that does not fit into memory is left out, with a warning.
    """
    name, bits = PARENTS[task.choice.dtype]
    found = {name: Variant(name, About(None, bits), task.folder)}
    if task.as_is:
        method = formats.stored(decoder.read_config(task.as_is).quantization_config, task.as_is)
        about = About(method.kind, method.bits, method.group_size)
        found["as_is"] = Variant("as_is", about, task.as_is, None, method.weight_only)
    wanted = {n: how for n, how in making.items() if n != name}
    _refuse_without_room(task, wanted)
    # Here and not in another process, which cannot read the text of a notebook's functions.
    targets = {n: cache.address("decoder", recipe(task, how)) for n, how in wanted.items()}
    calls = {n: partial(_folder, task, n, how, targets[n]) for n, how in wanted.items()}
    made = each(task, calls, progress)
    for n in made:
        how = wanted[n]
        about = About(how.kind, how.bits, how.group_size)
        found[n] = Variant(n, about, made[n], None, how.weight_only)
    return found


def each(task: Task, calls: Mapping[str, Callable[[], Any]], progress=iter) -> dict[str, Any]:
    """Name -> what its call returns; those for which memory ran out are left out, which is said.

    Calls are `reproducible`. As many processes as the task has threads (four at most) share those
    of a small task; a larger model might not fit into memory twice.
    """
    most = PROCESSES.get(task.given.profile, 4) if _small(task) else 1
    arguments = [(task, call) for call in calls.values()]
    made = processes.starmap(_one, arguments, min(task.given.threads, most), progress)
    found = dict(zip(calls, made, strict=True))
    for name in [name for name, one in found.items() if one is None]:
        log.warning("%s ran out of memory and is left out; take a larger machine for it.", name)
        del found[name]
    return found


def _one(task: Task, call: Callable[[], Any]) -> Any:
    """What the call returns, or None where memory ran out."""
    import torch

    try:
        with reproducible(task):
            return call()
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        full = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not full and "can't allocate memory" not in str(error):
            raise
    return None


@contextlib.contextmanager
def reproducible(task: Task) -> Iterator[None]:
    """PyTorch has one thread for a small task, and the task's for another.

    Sums of another number of threads end in other digits, with which GPTQ rounds other weights.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(_threads(task))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _threads(task: Task) -> int:
    return 1 if _small(task) else task.given.threads


def _small(task: Task) -> bool:
    """Whether it is the embedded model on a CPU."""
    return task.model in (EMBEDDED_MODEL, EMBEDDED_MODEL + EVEN) and task.choice.device == "cpu"


def _folder(task: Task, name: str, how: Method | Library, target: Path) -> Path:
    """The quantized folder of a variant, made where it is not there yet."""
    if isinstance(how, Library):
        if not target.exists():
            with cache.written_whole(target) as part:
                part.mkdir()
                how.make(task, part, **how.settings)
        return target
    where = {"device": task.choice.device, "dtype": task.choice.dtype}
    steps = bar(f"{name}: blocks")
    streaming.quantize_folder(
        task.folder, how, task.calibration_tokens, target, progress=steps, **where
    )
    return target


def recipe(task: Task, how: Method | Library) -> dict[str, Any]:
    """All that decides the bytes of a variant's folder."""
    parts = how.settings() if isinstance(how, Method) else {"make": how.make, **how.settings}
    return {
        "model": task.parent,
        "how": {"type": text(type(how)), **{n: text(part) for n, part in parts.items()}},
        "calibration": passages.digest(task.calibration),
        **_made_with(task),
    }


def text(part: Any) -> Any:
    """What stands for a setting in a recipe: of a function or class of a notebook its source."""
    if not callable(part):
        return part
    here = part.func if isinstance(part, partial) else part
    return inspect.getsource(here) if here.__module__ == "__main__" else here.__qualname__


def _made_with(task: Task) -> dict[str, Any]:
    """What of code and machine decides the last digits; its processor does not move from build/."""
    threads = {"threads": _threads(task)} if task.choice.device == "cpu" else {}
    where = {"device": task.choice.device, "dtype": task.choice.dtype, **threads}
    return where | {"code": code_sha256(__name__), "versions": versions(*LIBRARIES)}


def _refuse_without_room(task: Task, making: Making) -> None:
    """QlabError, before anything is made, where the folders that are not there yet do not fit."""
    model = decoder.empty(decoder.read_config(task.folder))
    left = {n: sizes.expected(model, how.bits, how.group_size) for n, how in making.items()}
    width = model.config.hidden_size
    states = 2 * sum(map(len, task.calibration_tokens)) * width * 4  # while it works
    if sum(left.values()) + states > disk.free(paths.build()):
        for name in list(left):
            if cache.address("decoder", recipe(task, making[name])).is_dir():
                del left[name]
    disk.refuse(
        sum(left.values()) + states * bool(left),
        f"Quantizing {task.model} to {', '.join(left)}",
        "Choose fewer with the parameter 'variants'",
    )


def adapted(task: Task, variants: Variants, train: Callable, progress=iter, **settings) -> Variants:
    """`variants` with an adapter each, trained by `train(folder, training, **settings)`.

    `training` is a `training.Training`, with which a killed run goes on; it knows the batches.
    """
    targets = {n: cache.address("adapter", _adapter_recipe(task, v, train, settings))
               for n, v in variants.items()}  # fmt: skip
    calls = {n: partial(_adapter, task, v, targets[n], train, settings)
             for n, v in variants.items()}  # fmt: skip
    made = each(task, calls, progress)
    return {
        f"{n}_lora": dataclasses.replace(
            variants[n],
            name=f"{n}_lora",
            about=variants[n].about._replace(method=f"{variants[n].about.method}_lora"),
            adapter=adapter,
        )
        for n, adapter in made.items()
    }


def _adapter_recipe(task: Task, variant: Variant, train: Callable, settings: dict) -> dict:
    parts = {"base": file_sha256(variant.folder), "training": passages.digest(task.training)}
    return parts | {"train": text(train), **settings, **_made_with(task)}


def _adapter(task: Task, variant: Variant, target: Path, train: Callable, settings: dict) -> Path:
    if not target.exists():
        steps = Training(target, task.training_tokens, bar(f"{variant.name}: steps"))
        lora.save(train(variant.folder, steps, **settings), steps)
    return target


def load(task: Task, variant: Variant):
    """The model that stands for a variant's accuracy: quantized weights are turned into dense ones
    once; a method that rounds inputs too runs on its own kernels."""
    where = {"dtype": task.choice.dtype, "device": task.choice.device}
    if variant.adapter:
        return lora.load(variant.folder, variant.adapter, **where)
    if variant.layers is not None:
        model = decoder.load(task.folder, **where)
        made = streaming.load_dense(variant.folder, **where)
        for name in variant.layers:
            model.get_submodule(name).weight = made.get_submodule(name).weight
        return model
    if not variant.weight_only:
        return streaming.load_packed(variant.folder, task.choice.device)
    return streaming.load_dense(variant.folder, **where)


def evaluate(task: Task, variants: Variants, progress=iter) -> dict[str, Scores]:
    """Scores of each variant on the task's passages, the parent first: the others' divergence is
    from its answers."""
    (parent, first), *others = variants.items()
    calls = {n: partial(_scores, task, variant, first) for n, variant in others}
    found = {parent: _scores(task, first, first)}
    return found | each(task, calls, progress)


def _scores(task: Task, variant: Variant, parent: Variant) -> Scores:
    def make(folder: Path) -> None:
        model = load(task, variant)
        if variant == parent:
            compare = Reference(
                folder / "reference.npy", (len(task.encoded), model.config.vocab_size)
            )
        else:
            compare = Reference(cache.address("scores", of(parent)) / "reference.npy")
        steps = bar(f"{variant.name}: batches")
        scoring.score(model, task.encoded, progress=steps, compare=compare).save(
            folder / "scores.npz"
        )

    def of(one: Variant) -> dict[str, Any]:
        return {
            "variant": [file_sha256(folder) for folder in one.folders],
            "layers": one.layers,
            "parent": task.parent,
            "passages": passages.digest(task.passages),
            **_made_with(task),
        }

    with reproducible(task):
        return Scores.load(cache.artefact("scores", of(variant), make) / "scores.npz")


def scored(task: Task, model, encoded: Sequence[Encoded]) -> Scores:
    """Scores of a model in memory on any passages; nothing is kept."""
    with reproducible(task):
        return scoring.score(model, encoded, progress=bar("batches"))
