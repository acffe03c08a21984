"""What notebook 02 works on: its parameters resolved to a model folder and passages, checked.

A model may be given as a folder, a name on the hub, a GGUF file or an already quantized folder. The
result is a float Hugging Face folder, and a sentence that says what it was made from.
"""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from qlab.core import cache, parameters, paths, provenance
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive
from qlab.files import hub
from qlab.files.embedded import CARD, model_folder
from qlab.language import checkpoint, decoder, device, lambada, outliers, streaming
from qlab.language.lambada import Encoded, Passage

# For profiles on real data: the first that is on this machine, else the last, which is on the hub.
MODELS = {
    "small": ("SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    "full": ("meta-llama/Llama-3.2-3B",),
}
EMBEDDED_MODEL = "llama_mini"  # of the other profiles
TWIN_PASSAGES = 500  # at most, to judge a twin
EVEN_MODEL = EMBEDDED_MODEL + "_even"  # the same function without outlier channels


class Parameters(parameters.Parameters):
    """The parameters of notebook 02; its cell explains them."""

    profile: Literal["smoke", "mini", "small", "full"] = "mini"
    model: str = ""
    parent: str = ""
    passages: str = ""
    calibration: str = ""
    training: str = ""
    variants: str = ""
    limit: Count = 0
    calibration_count: Count = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive = 2
    seed: Count = 0


@dataclass(frozen=True)
class Task:
    """A checked float model, and passages for judging, calibration and training."""

    given: Parameters  # as the notebook's cell has them
    model: str  # as the records name it
    folder: Path  # of the float model
    as_is: Path | None  # the folder that was given, where it is quantized already
    dataset: str  # as the records name it
    passages: list[Passage] = field(repr=False)
    calibration: list[Passage] = field(repr=False)  # for GPTQ and AutoRound
    training: list[Passage] = field(repr=False)  # for adapters; may be empty
    notes: list[str]  # for the reader, a sentence each
    encoded: list[Encoded] = field(repr=False)  # the passages, tokenized
    calibration_tokens: list[list[int]] = field(repr=False)  # tokens of each
    training_tokens: list[list[int]] = field(repr=False)  # tokens of each
    longest: int  # the model's context in tokens
    choice: device.Choice  # device and dtype

    @cached_property
    def tokenizer(self):
        """The folder's tokenizer."""
        return checkpoint.load_tokenizer(self.folder)

    @cached_property
    def parent(self) -> str:
        """Hash of the float model's files, which tells its records from those of another parent."""
        return cache.file_sha256(self.folder)

    @property
    def threads(self) -> int:
        """PyTorch's threads where nothing is timed; one for the embedded model and its twins on a
        CPU: with another number, sums end in other digits, and GPTQ then rounds other weights."""
        small = self.model.startswith(EMBEDDED_MODEL) and self.choice.device == "cpu"
        return 1 if small else self.given.threads

    @property
    def place(self) -> str:
        """Folder name of its records and figures."""
        return self.given.place(self.model)

    def processor(self, share: str = "") -> str:
        """What the task's times are measured on: the GPU, or the processor and its `share`."""
        if self.choice.device != "cpu":
            return torch.cuda.get_device_name()
        return provenance.device(share) if share else provenance.processor()

    def settings(self) -> dict[str, int | str]:
        """What the parameters resolved to, for the provenance."""
        found = {"model": self.model, "dataset": self.dataset, "passages": len(self.passages)}
        found |= {"device": self.choice.device, "dtype": self.choice.dtype}
        found["bos"] = lambada.begins(self.tokenizer)
        return self.given.model_dump(exclude=parameters.PATHS) | found

    def inputs(self) -> dict[str, str]:
        """sha256 of what went in, for the provenance."""
        texts = ("passages", "calibration", "training")
        return {"model": self.parent, **{n: lambada.digest(getattr(self, n)) for n in texts}}


def prepare(parameters: Parameters) -> Task:
    """Resolve the parameters of notebook 02 into a checked task; no weights are read. From here on,
    PyTorch has the task's `threads`."""
    usual = MODELS.get(parameters.profile, ("",))
    name = parameters.model or next(filter(local, usual[:-1]), usual[-1])
    folder = model_at(name, weights=False) if name else model_folder(EMBEDDED_MODEL)
    config = checkpoint.read_config(folder)
    chosen = lambada.choose(parameters)
    tokenizer, longest = checkpoint.load_tokenizer(folder), checkpoint.context(config)
    _, judging, *others, notes = chosen
    encoded = lambada.encode(judging, tokenizer, longest)
    if cut := sum(e.dropped > 0 for e in encoded):
        notes.append(f"{cut} passages, longer than {longest} tokens, are cut in front.")
    choice = device.choose(config, parameters.device)
    folder = model_at(name, weights=True) if name else folder
    checkpoint.Weights(folder)  # QlabError unless all are there
    as_is = folder if checkpoint.quantized(config) else None
    # The name of its file or folder; of a name on the hub, what follows the owner.
    plain = Path(name) if hub.is_name(name) or name.endswith(".gguf") else folder.resolve()
    model = re.sub(r"[^\w.-]+", "_", plain.name.removesuffix(".gguf")) if name else EMBEDDED_MODEL
    if as_is:
        folder, note = float_parent(as_is, parameters.parent)
        notes.append(note)
    if (kinds := folder.parent / checkpoint.KINDS).is_file():
        told = f"The parent is {Path(name).name}, whose weights were stored as {kinds.read_text()}:"
        notes.append(f"{told} what is measured at so few bits and below holds of a coarse parent.")
    notes.append(choice.sentence)
    tokens = [_tokens(some, tokenizer, longest) for some in others]
    task = Task(parameters, model, folder, as_is, *chosen, encoded, *tokens, longest, choice)
    torch.set_num_threads(task.threads)
    return task


def twin(task: Task, strength: float) -> Task:
    """The embedded Llama's task, with TWIN_PASSAGES at most, for a copy of it with outlier channels
    of another `strength`; 0 makes the even twin, which has none."""
    recipe = {"model": task.parent, "strength": strength, "code": cache.code_sha256(__name__)}
    recipe["versions"] = cache.versions("torch", "transformers")

    def make(target: Path) -> None:
        own = json.loads((task.folder / CARD).read_text())["outliers"]
        model = streaming.load_dense(task.folder)
        outliers.spread(model, own["seed"], strength - own["strength"])
        model.save_pretrained(target / "model")
        task.tokenizer.save_pretrained(target / "model")

    folder = cache.artefact("llama_spread", recipe, make) / "model"
    name = EVEN_MODEL if strength == 0 else f"{EMBEDDED_MODEL}_{strength:g}"
    judging = {part: getattr(task, part)[:TWIN_PASSAGES] for part in ("passages", "encoded")}
    return dataclasses.replace(task, folder=folder, model=name, **judging)


def _tokens(passages: list[Passage], tokenizer, longest: int) -> list[list[int]]:
    """Token ids of whole passages, cut at the end where one is longer than the context."""
    texts = [p.text for p in passages]
    return [ids[:longest] for ids in tokenizer(texts, verbose=False)["input_ids"]] if texts else []


def local(name: str) -> Path | None:
    """Where a model lies: at a path, or under QLAB_DATA/llm by its name or the last part of it."""
    root = paths.real_data()
    inside = [root / "llm" / name, root / "llm" / name.rsplit("/", 1)[-1]] if root else []
    return next((p for p in (Path(name).expanduser(), *inside) if p.exists()), None)


def model_at(name: str, weights: bool) -> Path:
    """A model's folder: a `local` one, one made from a GGUF file, or from the hub; without
    `weights`, at least the files that can rule a model out: configuration and tokenizer."""
    found = local(name)
    if found and found.is_dir():
        return found
    if found and found.suffix == ".gguf":
        return checkpoint.from_gguf(found)
    if found or not hub.is_name(name):
        ways = "a file that ends in .gguf, or a name on the hub such as meta-llama/Llama-3.2-3B"
        told = f"There is no model folder or GGUF file at {name}"
        raise QlabError(f"{told}; give a local Hugging Face folder, {ways}.")
    return hub.model(name, weights=weights)


def float_parent(quantized: Path, named: str) -> tuple[Path, str]:
    """The float folder that a quantized one is compared with (the named one, else its own weights
    in float32), and a sentence about it."""
    own = checkpoint.read_config(quantized)
    if named:
        found = model_at(named, weights=True)
        config = checkpoint.read_config(found)
        if checkpoint.quantized(config) or decoder.shapes(own) != decoder.shapes(config):
            why = f"is quantized itself, or its layers are not those of {quantized}"
            raise QlabError(f"The parent {found} {why}; give the float model that this is made of.")
        return found, f"{quantized.name} is quantized already; its parent is said to be {named}."
    recipe = {"folder": cache.file_sha256(quantized), "code": cache.code_sha256(__name__)}

    def make(target: Path) -> None:
        streaming.load_dense(quantized).save_pretrained(target / "model")
        checkpoint.load_tokenizer(quantized).save_pretrained(target / "model")

    method = streaming.stored(quantized)
    return cache.artefact("dense", recipe, make) / "model", (
        f"{quantized.name} is quantized already ({method.kind}, {method.bits} bits): its weights "
        "turned into float32 ones are the parent here. Name the real one with 'parent'."
    )
