"""What notebook 02 works on: a Llama folder, passages that judge, passages to calibrate on."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from qlab.core import hub, parameters, paths, provenance
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive
from qlab.core.place import hash_json
from qlab.language import device, embedded, lambada, llama, mini_lambada
from qlab.language.lambada import Encoded, Passage

# Passages per profile; 0 means all of the file.
EVALUATION = {"smoke": 100, "mini": mini_lambada.COUNTS["test"], "full": 0}
CALIBRATION = {"smoke": 16, "mini": 128, "full": 128}  # passages per profile
TRAINING = {"smoke": 64, "mini": 4000, "full": 4000}  # passages that adapters learn from
FULL_MODEL = "meta-llama/Llama-3.2-3B"  # of profile full, on the hub
EMBEDDED_MODEL = "llama_mini"  # of the other profiles
EVEN = "_even"
EVEN_MODEL = EMBEDDED_MODEL + EVEN  # the same function without outlier channels
EMBEDDED = "mini_lambada"  # as the parameter 'calibration': the embedded calibration split
_PATHS = ("model", "passages", "calibration", "training")


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
    """A checked Llama folder with passages that judge, calibrate and train; those that judge do
    nothing else."""

    given: Parameters
    model: str  # its name in the records
    dataset: str  # its name in the records
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
            **self.given.model_dump(exclude=set(_PATHS)),
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
        parts = {name: digest(getattr(self, name)) for name in _PATHS[1:]}
        return {"model": file_sha256(self.folder), **parts}


def digest(passages: list[Passage]) -> str:
    """sha256 of the passages' texts, in order."""
    return hash_json([p.text for p in passages])


def prepare(given: Parameters) -> Task:
    """Resolve the parameters of notebook 02 into a checked task; no weights are read.

    Empty texts mean the profile's own: the embedded model and mini_lambada, or, for `full`,
    Llama-3.2-3B and lambada_openai (from QLAB_DATA if it has them, else downloaded). `model` is a
    folder, a folder's name under QLAB_DATA/llm, or a name on the hub. `calibration` is a file like
    `passages`, or "mini_lambada"; without it, passages of one's own are split: the first
    `calibration_count` (a quarter at most unless asked for) calibrate and are not evaluated.
    `training` is a file for adapters to learn from; only mini_lambada brings its own.
    `threads` is PyTorch's from here on, but for what is `build.reproducible`.
    """
    import torch

    torch.set_num_threads(given.threads)
    name = given.model or (FULL_MODEL if given.profile == "full" else "")
    folder = _folder(name, weights=False) if name else embedded.llama_folder()
    config = llama.read_config(folder)
    file, judging, held, taught, notes = _passages(given)
    tokenizer, longest = llama.load_tokenizer(folder), config.max_position_embeddings
    encoded = lambada.encode(judging, tokenizer, longest)
    tokens, lessons = (_tokens(some, tokenizer, longest) for some in (held, taught))
    if cut := lambada.truncated(encoded):
        notes.append(f"{cut} passages are longer than the model's {longest} tokens: cut in front.")
    choice = device.choose(config, sum(map(len, tokens)), given.device)
    folder = _folder(name, weights=True) if name else folder
    llama.check(folder)
    return Task(
        given=given,
        model=_subject(name, folder) if name else EMBEDDED_MODEL,
        dataset=_dataset_name(file) if _own_data(given) else EMBEDDED,
        folder=folder,
        passages=judging,
        calibration=held,
        training=taught,
        encoded=encoded,
        calibration_tokens=tokens,
        training_tokens=lessons,
        longest=longest,
        choice=choice,
        notes=[*notes, choice.sentence],
    )


def _own_data(given: Parameters) -> bool:
    return bool(given.passages) or given.profile == "full"


def _passages(
    given: Parameters,
) -> tuple[Path, list[Passage], list[Passage], list[Passage], list[str]]:
    """The file that judges; the passages that judge, calibrate and train; what there is to tell."""
    notes, most = [], given.limit or EVALUATION[given.profile]
    usual = CALIBRATION[given.profile]
    file = _evaluation_file(given.profile, given.passages, most)
    judging = lambada.read(file)
    if given.calibration or not _own_data(given):
        count = given.calibration_count or usual
        held = lambada.read(_calibration_file(given.calibration, count))[:count]
    else:
        judging, held = _held_out(judging, given.calibration_count, usual)
        notes.append(
            f"No calibration passages given: the first {len(held)} passages calibrate, "
            f"{len(judging)} others are there to evaluate."
        )
    if most and len(judging) > most:
        notes.append(f"The first {most} of these {len(judging)} passages evaluate.")
        judging = judging[:most]
    taught = _training(given.training, _own_data(given), TRAINING[given.profile])
    _refuse_overlap("calibration", held, judging)
    _refuse_overlap("training", taught, judging)
    return file, judging, held, taught, notes


def _folder(name: str, weights: bool) -> Path:
    """A model's folder: a path, a name under QLAB_DATA/llm, or from the hub.

    Without `weights` at least configuration and tokenizer: enough to refuse a model by.
    """
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


def _evaluation_file(profile: str, passages: str, count: int) -> Path:
    """The passages that judge: given, embedded, or for `full` LAMBADA (from QLAB_DATA if there)."""
    if passages:
        return Path(passages).expanduser()
    if profile != "full":
        return embedded.mini_lambada_file("test", count)
    file = (paths.real_data() or Path()) / "lambada" / "lambada_test.jsonl"
    return file if paths.real_data() and file.is_file() else hub.lambada()


def _calibration_file(calibration: str, count: int) -> Path:
    """The passages that calibrate, given by their path, or the embedded ones."""
    if calibration in ("", EMBEDDED):
        return embedded.mini_lambada_file("calibration", count)
    return Path(calibration).expanduser()


def _training(training: str, own_data: bool, count: int) -> list[Passage]:
    """The passages that adapters learn from: given, mini_lambada's own, or none."""
    if training in ("", EMBEDDED):
        wanted = training == EMBEDDED or not own_data
        return lambada.read(embedded.mini_lambada_file("train", count)) if wanted else []
    return lambada.read(Path(training).expanduser())[:count]


def _tokens(passages: list[Passage], tokenizer, longest: int) -> list[list[int]]:
    """Token ids of whole passages, cut at the end where one is longer than the context."""
    if not passages:
        return []
    ids = tokenizer([p.text for p in passages], verbose=False)["input_ids"]
    return [one[:longest] for one in ids]


def _dataset_name(file: Path) -> str:
    """`lambada_openai` for the published file, whatever it is called, else the file's name."""
    published = file.is_file() and file_sha256(file) == hub.LAMBADA_SHA256
    return "lambada_openai" if published else file.stem


def _held_out(found: list[Passage], asked: int, usual: int) -> tuple[list[Passage], list[Passage]]:
    """(to evaluate, to calibrate on): the first ones, wherever they are repeated, calibrate only.

    Unless a number was asked for, at least three quarters stay for evaluation.
    """
    count = asked or min(usual, len(found) // 4)
    held = found[:count]
    seen = {_plain(p) for p in held}
    rest = [p for p in found[count:] if _plain(p) not in seen]
    if not held or not rest:
        raise QlabError(
            f"{len(found)} passages cannot be split into {count} that calibrate and others that "
            "evaluate; give more, or others to calibrate on (calibration=mini_lambada)."
        )
    return rest, held


def _plain(passage: Passage) -> str:
    """A passage's text whatever its spaces and line ends."""
    return " ".join(passage.text.split())


def _refuse_overlap(role: str, held: list[Passage], evaluation: list[Passage]) -> None:
    """Passages that calibrate or train never evaluate, however their spaces differ."""
    seen = {_plain(p) for p in evaluation}
    both = [p for p in held if _plain(p) in seen]
    if both:
        raise QlabError(
            f"{len(both)} of {len(held)} {role} passages are among the evaluated ones "
            f"too, first '... {_plain(both[0])[-40:]}'; give others, or none to have some held out."
        )
