"""What notebook 02 works on: its parameters resolved to a Llama folder and passages, checked."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from qlab.core import hub, parameters, paths, provenance
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive
from qlab.language import device, embedded, lambada, llama, passages
from qlab.language.lambada import Encoded, Passage

FULL_MODEL = "meta-llama/Llama-3.2-3B"  # of profile full, on the hub
EMBEDDED_MODEL = "llama_mini"  # of the other profiles
EVEN = "_even"
EVEN_MODEL = EMBEDDED_MODEL + EVEN  # the same function without outlier channels
_TEXTS = ("passages", "calibration", "training")


class Parameters(parameters.Parameters):
    """Of notebook 02; what each means stands in its cell."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    model: str = ""
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
    """A checked Llama folder, and passages that judge, calibrate and train."""

    given: Parameters  # as the notebook's cell has them
    model: str  # as the records name it
    dataset: str  # as the records name it
    folder: Path
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
        return llama.load_tokenizer(self.folder)

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
        return {"model": file_sha256(self.folder), **parts}


def prepare(given: Parameters) -> Task:
    """Resolve the parameters of notebook 02 into a checked task; no weights are read.

    `threads` is PyTorch's from here on, but for what is `build.reproducible`.
    """
    import torch

    torch.set_num_threads(given.threads)
    name = given.model or (FULL_MODEL if given.profile == "full" else "")
    folder = _folder(name, weights=False) if name else embedded.llama_folder()
    config = llama.read_config(folder)
    chosen = passages.choose(given)
    tokenizer, longest = llama.load_tokenizer(folder), config.max_position_embeddings
    encoded = lambada.encode(chosen.judging, tokenizer, longest)
    tokens = _tokens(chosen.calibrating, tokenizer, longest)
    notes = list(chosen.notes)
    if cut := lambada.truncated(encoded):
        notes.append(f"{cut} passages are longer than the model's {longest} tokens: cut in front.")
    choice = device.choose(config, sum(map(len, tokens)), given.device)
    folder = _folder(name, weights=True) if name else folder
    llama.check(folder)
    return Task(
        given=given,
        model=_subject(name, folder) if name else EMBEDDED_MODEL,
        dataset=chosen.dataset,
        folder=folder,
        passages=chosen.judging,
        calibration=chosen.calibrating,
        training=chosen.teaching,
        encoded=encoded,
        calibration_tokens=tokens,
        training_tokens=_tokens(chosen.teaching, tokenizer, longest),
        longest=longest,
        choice=choice,
        notes=[*notes, choice.sentence],
    )


def _folder(name: str, weights: bool) -> Path:
    """A model's folder: a path, a name under QLAB_DATA/llm, or from the hub; without `weights` at
    least configuration and tokenizer: enough to refuse a model by."""
    folders = [Path(name).expanduser()]
    if root := paths.real_data():
        folders += [root / "llm" / name, root / "llm" / name.rsplit("/", 1)[-1]]
    if found := next((f for f in folders if f.is_dir()), None):
        return found
    if not hub.is_name(name):
        raise QlabError(
            f"There is no model folder at {name}; give a local Hugging Face folder, or a name on "
            "the hub such as meta-llama/Llama-3.2-3B."
        )
    return hub.model(name, weights=weights)


def _subject(name: str, folder: Path) -> str:
    """The model's name: its folder's, or on the hub what follows the owner."""
    last = Path(name).name if hub.is_name(name) else folder.resolve().name
    return re.sub(r"[^\w.-]+", "_", last)


def _tokens(passages: list[Passage], tokenizer, longest: int) -> list[list[int]]:
    """Token ids of whole passages, cut at the end where one is longer than the context."""
    texts = [p.text for p in passages]
    return [ids[:longest] for ids in tokenizer(texts, verbose=False)["input_ids"]] if texts else []
