"""What notebook 02 works on: its parameters resolved to a model folder and passages, checked."""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from qlab.core import cache, hub, parameters, provenance
from qlab.core.embedded import CARD, model_folder
from qlab.core.parameters import Count, Positive
from qlab.language import configuration, decoder, device, given, lambada, outliers
from qlab.language.lambada import Encoded, Passage

# Of profiles on real data: the first that is there, else the last, which is on the hub.
MODELS = {
    "small": ("SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    "full": ("meta-llama/Llama-3.2-3B",),
}
EMBEDDED_MODEL = "llama_mini"  # of the other profiles
TWIN_PASSAGES = 500  # that judge a twin
EVEN_MODEL = EMBEDDED_MODEL + "_even"  # the same function without outlier channels


class Parameters(parameters.Parameters):
    """Of notebook 02; what each means stands in its cell."""

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
    """A checked float model, and passages that judge, calibrate and train."""

    given: Parameters  # as the notebook's cell has them
    model: str  # as the records name it
    folder: Path  # of the float model
    as_is: Path | None  # the folder that was given, where it is quantized already
    dataset: str  # as the records name it
    passages: list[Passage] = field(repr=False)
    calibration: list[Passage] = field(repr=False)  # for GPTQ and AutoRound
    training: list[Passage] = field(repr=False)  # for adapters; may be empty
    notes: list[str]  # sentences to tell the reader
    encoded: list[Encoded] = field(repr=False)  # the passages, tokenized
    calibration_tokens: list[list[int]] = field(repr=False)  # tokens of each
    training_tokens: list[list[int]] = field(repr=False)  # tokens of each
    longest: int  # the model's context in tokens
    choice: device.Choice  # device and dtype

    @cached_property
    def tokenizer(self):
        """The folder's tokenizer."""
        return configuration.load_tokenizer(self.folder)

    @cached_property
    def parent(self) -> str:
        """Hash of the float model's files, by which its records know each other."""
        return cache.file_sha256(self.folder)

    @property
    def place(self) -> str:
        """Folder name of its records and figures."""
        return self.given.place(self.model)

    def processor(self, share: str = "") -> str:
        """What its times are measured on: the GPU, or the processor and its `share`."""
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
    """Resolve the parameters of notebook 02 into a checked task; no weights are read. PyTorch has
    so many threads from here on."""
    torch.set_num_threads(parameters.threads)
    usual = MODELS.get(parameters.profile, ("",))
    name = parameters.model or next(filter(given.local, usual[:-1]), usual[-1])
    folder = given.folder(name, weights=False) if name else model_folder(EMBEDDED_MODEL)
    config = configuration.read(folder)
    chosen = lambada.choose(parameters)
    tokenizer, longest = configuration.load_tokenizer(folder), configuration.context(config)
    _, judging, *others, notes = chosen
    encoded = lambada.encode(judging, tokenizer, longest)
    if cut := lambada.truncated(encoded):
        notes.append(f"{cut} passages, longer than {longest} tokens, are cut in front.")
    choice = device.choose(config, parameters.device)
    folder = given.folder(name, weights=True) if name else folder
    as_is = folder if configuration.quantized(configuration.check(folder)) else None
    model = _subject(name, folder) if name else EMBEDDED_MODEL
    if as_is:
        folder, note = given.parent(as_is, parameters.parent)
        notes.append(note)
    notes.extend([*given.about(name, folder), choice.sentence])
    tokens = [_tokens(some, tokenizer, longest) for some in others]
    return Task(parameters, model, folder, as_is, *chosen, encoded, *tokens, longest, choice)


def embedded_task(parameters: Parameters, task: Task) -> Task:
    """The task itself where its model is the embedded one, else the embedded model's at `mini`."""
    if task.model == EMBEDDED_MODEL:
        return task
    return prepare(Parameters(threads=parameters.threads, seed=parameters.seed))


def twin(task: Task, strength: float) -> Task:
    """The task of the embedded Llama, TWIN_PASSAGES at most, on it with outlier channels of another
    strength, 0: without any, the even twin."""
    recipe = {"model": task.parent, "strength": strength, "code": cache.code_sha256(__name__)}
    recipe["versions"] = cache.versions("torch", "transformers")

    def make(target: Path) -> None:
        own = json.loads((task.folder / CARD).read_text())["outliers"]
        model = decoder.load(task.folder)
        outliers.spread(model, own["seed"], strength - own["strength"])
        model.save_pretrained(target / "model")
        task.tokenizer.save_pretrained(target / "model")

    folder = cache.artefact("llama_spread", recipe, make) / "model"
    name = EVEN_MODEL if strength == 0 else f"{EMBEDDED_MODEL}_{strength:g}"
    judging = {part: getattr(task, part)[:TWIN_PASSAGES] for part in ("passages", "encoded")}
    return dataclasses.replace(task, folder=folder, model=name, **judging)


def _subject(name: str, folder: Path) -> str:
    """The model's name: its file's or folder's, or on the hub what follows the owner."""
    last = Path(name).name if hub.is_name(name) or name.endswith(".gguf") else folder.resolve().name
    return re.sub(r"[^\w.-]+", "_", last.removesuffix(".gguf"))


def _tokens(passages: list[Passage], tokenizer, longest: int) -> list[list[int]]:
    """Token ids of whole passages, cut at the end where one is longer than the context."""
    texts = [p.text for p in passages]
    return [ids[:longest] for ids in tokenizer(texts, verbose=False)["input_ids"]] if texts else []
