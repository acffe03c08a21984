"""What notebook 02 works on: its parameters resolved to a model folder and passages, checked."""

import dataclasses
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from qlab.core import hub, parameters, paths, provenance
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive
from qlab.language import configuration, device, embedded, given, lambada, passages
from qlab.language.lambada import Encoded, Passage

# Of profiles on real data: what QLAB_DATA has, or a name on the hub.
MODELS = {
    "small": ("SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    "full": ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B"),
}
EMBEDDED_MODEL = "llama_mini"  # of the other profiles
EVEN = "_even"
EVEN_MODEL = EMBEDDED_MODEL + EVEN  # the same function without outlier channels
_TEXTS = ("passages", "calibration", "training")


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
    dataset: str  # as the records name it
    folder: Path  # of the float model
    as_is: Path | None  # the folder that was given, where it is quantized already
    passages: list[Passage] = field(repr=False)
    calibration: list[Passage] = field(repr=False)  # for GPTQ and AutoRound
    training: list[Passage] = field(repr=False)  # for adapters; may be empty
    encoded: list[Encoded] = field(repr=False)  # the passages, tokenized
    calibration_tokens: list[list[int]] = field(repr=False)  # tokens of each
    training_tokens: list[list[int]] = field(repr=False)  # tokens of each
    longest: int  # the model's context in tokens
    choice: device.Choice  # device and dtype
    notes: list[str]  # sentences to tell the reader

    @cached_property
    def tokenizer(self):
        """The folder's tokenizer."""
        return configuration.load_tokenizer(self.folder)

    @cached_property
    def parent(self) -> str:
        """Hash of the float model's files, by which its records know each other."""
        return file_sha256(self.folder)

    @property
    def place(self) -> str:
        """Folder name of its records and figures."""
        return self.given.place(self.model)

    def processor(self, share: str = "") -> str:
        """What its times are measured on: the GPU, or the processor and what of it is used."""
        if self.choice.device != "cpu":
            import torch

            return torch.cuda.get_device_name()
        return provenance.device(share) if share else provenance.processor()

    def settings(self) -> dict[str, int | str]:
        """What the parameters resolved to, for the provenance."""
        return {
            **self.given.model_dump(exclude=parameters.PATHS),
            "model": self.model,
            "dataset": self.dataset,
            "device": self.choice.device,
            "dtype": self.choice.dtype,
            "bos": lambada.begins(self.tokenizer),
            "evaluation_passages": len(self.passages),
            "evaluation_tokens": sum(len(e.tokens) for e in self.encoded),
            "truncated_passages": lambada.truncated(self.encoded),
            "calibration_passages": len(self.calibration),
            "calibration_tokens": sum(map(len, self.calibration_tokens)),
            "training_passages": len(self.training),
        }

    def inputs(self) -> dict[str, str]:
        """sha256 of what went in, for the provenance."""
        parts = {name: passages.digest(getattr(self, name)) for name in _TEXTS}
        return {"model": self.parent, **parts}


def prepare(parameters: Parameters) -> Task:
    """Resolve the parameters of notebook 02 into a checked task; no weights are read.

    `threads` is PyTorch's from here on, but for what is `build.reproducible`.
    """
    import torch

    torch.set_num_threads(parameters.threads)
    name = parameters.model or _usual(parameters.profile)
    folder = given.folder(name, weights=False) if name else embedded.llama_folder()
    config = configuration.read(folder)
    chosen = passages.choose(parameters)
    tokenizer, longest = configuration.load_tokenizer(folder), configuration.context(config)
    encoded = lambada.encode(chosen.judging, tokenizer, longest)
    tokens = _tokens(chosen.calibrating, tokenizer, longest)
    notes = list(chosen.notes)
    if cut := lambada.truncated(encoded):
        notes.append(f"{cut} passages are longer than the model's {longest} tokens: cut in front.")
    choice = device.choose(config, parameters.device)
    folder = given.folder(name, weights=True) if name else folder
    as_is = folder if configuration.quantized(configuration.check(folder)) else None
    if as_is:
        folder, note = given.parent(as_is, parameters.parent)
        notes.append(note)
    return Task(
        given=parameters,
        model=_subject(name, as_is or folder) if name else EMBEDDED_MODEL,
        dataset=chosen.dataset,
        folder=folder,
        as_is=as_is,
        passages=chosen.judging,
        calibration=chosen.calibrating,
        training=chosen.teaching,
        encoded=encoded,
        calibration_tokens=tokens,
        training_tokens=_tokens(chosen.teaching, tokenizer, longest),
        longest=longest,
        choice=choice,
        notes=[*notes, *given.about(name, folder), choice.sentence],
    )


def embedded_task(parameters: Parameters, task: Task) -> Task:
    """The task itself where its model is the embedded one, else the embedded model's at `mini`."""
    if task.model == EMBEDDED_MODEL:
        return task
    return prepare(Parameters(threads=parameters.threads, seed=parameters.seed))


def twin(task: Task, strength: float) -> Task:
    """The same task on the embedded Llama with outlier channels of another strength; 0 is without
    any, the even twin. QlabError for another model."""
    if task.model != EMBEDDED_MODEL:
        raise QlabError(f"Only {EMBEDDED_MODEL} has twins; {task.model} has none.")
    name = EVEN_MODEL if strength == 0 else f"{EMBEDDED_MODEL}_{strength:g}"
    return dataclasses.replace(task, folder=embedded.llama_spread_folder(strength), model=name)


def _usual(profile: str) -> str:
    """The model of a profile on real data: QLAB_DATA's, else the hub's; none: the embedded one."""
    if profile not in MODELS:
        return ""
    here, hub_name = MODELS[profile]
    root = paths.real_data()
    return str(root / "llm" / here) if root and (root / "llm" / here).exists() else hub_name


def _subject(name: str, folder: Path) -> str:
    """The model's name: its file's or folder's, or on the hub what follows the owner."""
    last = Path(name).name if hub.is_name(name) or name.endswith(".gguf") else folder.resolve().name
    return re.sub(r"[^\w.-]+", "_", last.removesuffix(".gguf"))


def _tokens(passages: list[Passage], tokenizer, longest: int) -> list[list[int]]:
    """Token ids of whole passages, cut at the end where one is longer than the context."""
    texts = [p.text for p in passages]
    return [ids[:longest] for ids in tokenizer(texts, verbose=False)["input_ids"]] if texts else []
