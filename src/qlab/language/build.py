"""The variants of experiment `llama_gptq`: which there are, how each is built, loaded and scored.

Folders, adapters and scores are kept under build/ by content, so a killed run goes on.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qlab.core import cache, disk, paths, processes
from qlab.core.cache import code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.core.progress import bar
from qlab.language import (
    autoround,
    data,
    embedded,
    llama,
    lora,
    methods,
    passages,
    scoring,
    sizes,
    streaming,
)
from qlab.language.data import EMBEDDED_MODEL, EVEN_MODEL, Task
from qlab.language.methods import ADAPTED, AUTOROUND
from qlab.language.scoring import Scores

if TYPE_CHECKING:
    from transformers import LlamaConfig

log = logging.getLogger(__name__)
LIBRARIES = ("torch", "transformers", "auto-gptq", "auto-round", "bitsandbytes", "peft")
EVEN = data.EVEN  # of the model without outlier channels
_GPTQ = tuple(f"gptq_w{bits}_g64" for bits in (8, 4, 3, 2)) + ("gptq_w4_g128", "gptq_w2_g128")
_RTN = tuple(f"rtn_w{bits}_g64" for bits in (8, 4, 3, 2))
ALL = ("fp16", *_GPTQ, *_RTN, "bnb_int8", "bnb_nf4", "bnb_fp4", AUTOROUND)
ALL += tuple(f"gptq_w{bits}_g64_lora" for bits in (4, 3, 2))
FEW = ("gptq_w8_g64", "gptq_w4_g64", "gptq_w2_g64", "rtn_w2_g64", "bnb_nf4", "gptq_w2_g64_lora")
VARIANTS = {"smoke": FEW, "mini": ALL, "full": ALL}
# Steps of the recovery's training, and of AutoRound's on each decoder layer.
RECOVERY_STEPS = {"smoke": 4, "mini": 120, "full": 200}
ITERATIONS = 100
PROCESSES = {"smoke": 1, "mini": 4, "full": 1}  # at most, that share the embedded model's variants


@dataclass(frozen=True)
class Variant:
    """What is stored of a variant: a Hugging Face folder, and an adapter for it where trained."""

    name: str  # as in the records
    folder: Path
    adapter: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """All of its folders: their bytes together are its size."""
        return [self.folder] + ([self.adapter] if self.adapter else [])


Variants = dict[str, Variant]


def chosen(task: Task, profile: str, asked: str) -> tuple[str, ...]:
    """The variants of a profile, or those that a comma-separated text names; each must exist.

    Of the profile's own, these are left out, which is said: adapters without passages to train on,
    and groups of 128 where the model's widths divide by 64 only.
    """
    names = tuple(name.strip() for name in asked.split(",") if name.strip())
    for name in names:
        if name not in ("fp16", AUTOROUND):
            methods.method(ADAPTED.get(name, name))
    if names:
        if not task.training and (trained := [n for n in names if n in ADAPTED]):
            raise QlabError(f"{trained[0]} needs passages to train on: the parameter 'training'.")
        return names
    names = VARIANTS[profile]
    if not task.training:
        log.warning("No training passages given: no adapters are trained (parameter 'training').")
        names = tuple(name for name in names if name not in ADAPTED)
    config = llama.read_config(task.folder)
    wide = [n for n in names if methods.ABOUT[n].group_size == 128 and not _fits(n, config)]
    if wide and _fits("gptq_w4_g64", config):
        log.warning("%s left out: 128 does not divide this model's widths.", ", ".join(wide))
        names = tuple(name for name in names if name not in wide)
    return names


def _fits(name: str, config: "LlamaConfig") -> bool:
    try:
        methods.method(name).check(config)
    except QlabError:
        return False
    return True


def parent_name(task: Task) -> str:
    """The float parent by what it computes in: fp32, fp16 or bf16."""
    return {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[task.choice.dtype]


def build(task: Task, names: Iterable[str], profile: str, seed: int, progress=iter) -> Variants:
    """Each variant's folder, the float parent first; widths are checked before any is made.

    A variant that does not fit into memory is left out, with a warning.
    """
    parent = parent_name(task)
    wanted = [name for name in names if name != parent]
    base = {name: ADAPTED.get(name, name) for name in wanted}
    config = llama.read_config(task.folder)
    for name in base.values():
        if name in methods.QUANTIZERS:
            methods.method(name).check(config)
    _refuse_without_room(task, wanted, seed)
    calls = {name: partial(_folder, task, seed, name) for name in base.values()}
    # What takes long shares the processes: AutoRound, and adapters, whose folders are there then.
    long = {AUTOROUND: calls.pop(AUTOROUND)} if AUTOROUND in calls else {}
    made = _each(task, calls, progress)
    for name in wanted:
        if name in ADAPTED and base[name] in made:
            long[name] = partial(_adapter, task, made[base[name]], profile, seed)
    made |= _each(task, long, progress)
    variants = {parent: Variant(parent, task.folder)}
    for name in (n for n in wanted if n in made):
        parts = (made[base[name]], made[name]) if name in ADAPTED else (made[name],)
        variants[name] = Variant(name, *parts)
    return variants


def _each(task: Task, calls: Mapping[str, Callable[[], Any]], progress=iter) -> dict[str, Any]:
    """Name -> what its call returns; those for which memory ran out are left out, which is said.

    Calls are `reproducible`. As many processes as the task has threads (PROCESSES at most) share
    those of a small task; a larger model might not fit into memory twice.
    """
    most = PROCESSES[task.given.profile] if _small(task) else 1
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
    return task.model in (EMBEDDED_MODEL, EVEN_MODEL) and task.choice.device == "cpu"


def _folder(task: Task, seed: int, name: str) -> Path:
    """The quantized folder of a variant, made where it is not there yet."""
    recipe = _recipe(task, name, seed)
    if name == "fp16":
        return cache.artefact("llama", recipe, partial(_write_half, task.folder))
    target, tokens = cache.address("llama", recipe), task.calibration_tokens
    more = {"device": task.choice.device, "dtype": task.choice.dtype}
    more["progress"] = bar(f"{name}: layers")
    if name == AUTOROUND:
        more |= {"iterations": ITERATIONS, "seed": seed}
        autoround.autoround_folder(task.folder, tokens, target, **more)
    else:
        streaming.quantize_folder(task.folder, methods.method(name), tokens, target, **more)
    return target


def _write_half(folder: Path, target: Path) -> None:
    """The float Llama in `folder` with its weights rounded to 16 bits: the smallest step down."""
    llama.load(folder, "float16").save_pretrained(target)
    llama.load_tokenizer(folder).save_pretrained(target)


def _recipe(task: Task, name: str, seed: int) -> dict[str, Any]:
    """All that decides the bytes of a variant's folder."""
    recipe = {"model": file_sha256(task.folder), "variant": name, **_made_with(task)}
    if name != "fp16":
        recipe["calibration"] = passages.digest(task.calibration)
    if name == AUTOROUND:
        recipe |= {"iterations": ITERATIONS, "seed": seed}
    return recipe


def _made_with(task: Task) -> dict[str, Any]:
    """What of code and machine decides the last digits; its processor does not move from build/."""
    threads = {"threads": _threads(task)} if task.choice.device == "cpu" else {}
    where = {"device": task.choice.device, "dtype": task.choice.dtype, **threads}
    return where | {"code": code_sha256(__name__), "versions": versions(*LIBRARIES)}


def _refuse_without_room(task: Task, names: list[str], seed: int) -> None:
    """QlabError, before anything is made, where the folders that are not there yet do not fit."""
    config = llama.read_config(task.folder)
    left = {n: sizes.expected(n, config, task.choice.dtype) for n in names if n not in ADAPTED}
    states = 2 * sum(map(len, task.calibration_tokens)) * config.hidden_size * 4  # while it works
    if sum(left.values()) + states > disk.free(paths.build()):
        # Only now, because each address takes the hash of the whole model.
        for name in list(left):
            if cache.address("llama", _recipe(task, name, seed)).is_dir():
                del left[name]
    disk.refuse(
        sum(left.values()) + states * bool(left),
        f"Quantizing {task.model} to {', '.join(left)}",
        "Choose fewer with the parameter 'variants'",
    )


def _adapter(task: Task, folder: Path, profile: str, seed: int) -> Path:
    """The adapter trained for a quantized folder."""
    steps = RECOVERY_STEPS[profile]
    recipe = {"base": file_sha256(folder), "training": passages.digest(task.training)}
    recipe |= {"steps": steps, "seed": seed, **_made_with(task)}
    target = cache.address("llama_adapter", recipe)
    lora.recover(
        folder, task.training_tokens, target, steps=steps, seed=seed,
        device=task.choice.device, dtype=task.choice.dtype, progress=bar("adapter: steps"),
    )  # fmt: skip
    return target


def even_twin(task: Task) -> Task | None:
    """The same task on the embedded Llama without outlier channels; None for another model."""
    if task.model != EMBEDDED_MODEL:
        return None
    return dataclasses.replace(task, folder=embedded.llama_even_folder(), model=EVEN_MODEL)


def load(task: Task, variant: Variant):
    """The model that stands for a variant's accuracy: quantized weights are turned into dense ones
    once; a method that rounds inputs too runs on its own kernels."""
    where = {"dtype": task.choice.dtype, "device": task.choice.device}
    if variant.adapter:
        return lora.load(variant.folder, variant.adapter, **where)
    method = methods.QUANTIZERS.get(variant.name)
    if method is not None and not method.weight_only:
        return streaming.load_packed(variant.folder, task.choice.device)
    return streaming.load_dense(variant.folder, **where)


def evaluate(task: Task, variants: Variants, progress=iter) -> dict[str, Scores]:
    """Scores of each variant on the task's passages, the parent first."""
    return _each(task, {n: partial(_scores, task, v) for n, v in variants.items()}, progress)


def _scores(task: Task, variant: Variant) -> Scores:
    recipe = {
        "variant": {folder.name: file_sha256(folder) for folder in variant.folders},
        "passages": passages.digest(task.passages),
        **_made_with(task),
    }

    def make(folder: Path) -> None:
        model, batches = load(task, variant), bar(f"{variant.name}: batches")
        scored = scoring.score(model, task.encoded, progress=batches)
        scored.save(folder / "scores.npz")

    return Scores.load(cache.artefact("llama_scores", recipe, make) / "scores.npz")
