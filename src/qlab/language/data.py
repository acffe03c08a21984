"""What notebook 02 works on: a Llama folder, passages that judge, passages to calibrate on."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from qlab.core import hub, paths, place
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError, refuse_below_one, refuse_negative
from qlab.language import device as device_guard
from qlab.language import embedded, lambada, llama, mini_lambada
from qlab.language.lambada import Encoded, Passage

# Passages per profile; 0 means all of the file.
EVALUATION = {"smoke": 100, "mini": mini_lambada.COUNTS["test"], "full": 0}
CALIBRATION = {"smoke": 16, "mini": 128, "full": 128}  # passages per profile
TRAINING = {"smoke": 64, "mini": 4000, "full": 4000}  # passages that adapters learn from
FULL_MODEL = "meta-llama/Llama-3.2-3B"  # of profile full, on the hub
EMBEDDED_MODEL = "llama_mini"  # of the other profiles
EMBEDDED = "mini_lambada"  # as the parameter 'calibration': the embedded calibration split
_DEFAULTS = {"device": "auto", "threads": 2}
_PATHS = ("model", "passages", "calibration", "training")


@dataclass(frozen=True)
class Task:
    """A checked Llama folder with passages that judge, calibrate and train; those that judge do
    nothing else."""

    model: str  # its name in the records
    dataset: str  # its name in the records
    folder: Path
    passages: list[Passage] = field(repr=False)
    calibration: list[Passage] = field(repr=False)  # for GPTQ and AutoRound
    encoded: list[Encoded] = field(repr=False)  # the passages, tokenized
    calibration_tokens: list[list[int]] = field(repr=False)  # tokens of each
    training: list[Passage] = field(repr=False)  # for adapters; may be empty
    training_tokens: list[list[int]] = field(repr=False)  # tokens of each
    longest: int  # the model's context in tokens
    choice: device_guard.Choice  # device and dtype
    notes: list[str]  # sentences to tell the reader
    place: str = ""  # folder name of its records and figures
    chosen: dict[str, int | str] = field(default_factory=dict)  # the parameters as given

    @cached_property
    def tokenizer(self):
        """The folder's tokenizer."""
        return llama.load_tokenizer(self.folder)

    def settings(self) -> dict[str, int | str]:
        """What the parameters resolved to, for the provenance."""
        return {
            **{k: v for k, v in self.chosen.items() if k not in _PATHS},
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
        return {
            "model": file_sha256(self.folder),
            "passages": digest(self.passages),
            "calibration": digest(self.calibration),
            "training": digest(self.training),
        }


def digest(passages: list[Passage]) -> str:
    """sha256 of the passages' texts, in order."""
    return place.hash_json([p.text for p in passages])


def prepare(
    profile: str,
    model: str = "",
    passages: str = "",
    calibration: str = "",
    training: str = "",
    calibration_count: int = 0,
    limit: int = 0,
    device: str = "auto",
    threads: int = 2,
    seed: int = 0,
    evaluated: int = 1,
    quantized: int = 1,
    variants: str = "",
) -> Task:
    """Resolve the parameters of notebook 02 into a checked task; no weights are read.

    Empty texts mean the profile's own: the embedded model and mini_lambada, or, for `full`,
    Llama-3.2-3B and lambada_openai (from QLAB_DATA if it has them, else downloaded). `model` is a
    folder, a folder's name under QLAB_DATA/llm, or a name on the hub. `calibration` is a file like
    `passages`, or "mini_lambada"; without it, passages of one's own are split: the first
    `calibration_count` (a quarter at most unless asked for) calibrate and are not evaluated.
    `training` is a file for adapters to learn from; only mini_lambada brings its own.
    `evaluated` and `quantized` count variants, for the guard's estimate of memory and time;
    `variants` names them as the notebook was given them, so that a choice of one's own has a place
    of its own.
    `threads` is PyTorch's from here on, but for what is `llama_variants.reproducible`.
    """
    refuse_negative(calibration_count=calibration_count, limit=limit, seed=seed)
    _use_threads(threads)
    name = model or (FULL_MODEL if profile == "full" else "")
    folder = _small_files(name) if name else embedded.llama_folder()
    config = llama.read_config(folder)
    most = limit or EVALUATION[profile]
    file = _evaluation_file(profile, passages, most)
    found, notes = lambada.read(file), []
    own_data = bool(passages) or profile == "full"
    if calibration or not own_data:
        count = calibration_count or CALIBRATION[profile]
        held = lambada.read(_calibration_file(calibration, count))[:count]
    else:
        found, held = _held_out(found, calibration_count, CALIBRATION[profile])
        notes.append(
            f"No calibration passages given: the first {len(held)} passages calibrate, "
            f"{len(found)} others are there to evaluate."
        )
    if most and len(found) > most:
        notes.append(f"The first {most} of these {len(found)} passages evaluate.")
        found = found[:most]
    taught = _training(training, own_data, TRAINING[profile])
    _refuse_overlap("calibration", held, found)
    _refuse_overlap("training", taught, found)
    tokenizer, longest = llama.load_tokenizer(folder), config.max_position_embeddings
    encoded = lambada.encode(found, tokenizer, longest)
    tokens, lessons = (_tokens(some, tokenizer, longest) for some in (held, taught))
    if cut := lambada.truncated(encoded):
        notes.append(f"{cut} passages are longer than the model's {longest} tokens: cut in front.")
    work = device_guard.Work(
        evaluated * sum(len(e.tokens) for e in encoded), sum(map(len, tokens)), quantized
    )
    choice = device_guard.choose(config, work, device)
    folder = _whole_folder(name) if name else folder
    llama.check(folder)
    subject = _subject(name, folder) if name else EMBEDDED_MODEL
    chosen = {
        "model": model, "passages": passages, "calibration": calibration, "training": training,
        "calibration_count": calibration_count, "limit": limit, "device": device,
        "threads": threads, "seed": seed, "variants": variants,
    }  # fmt: skip
    return Task(
        model=subject,
        dataset=_dataset_name(file) if own_data else EMBEDDED,
        folder=folder,
        passages=found,
        calibration=held,
        encoded=encoded,
        calibration_tokens=tokens,
        training=taught,
        training_tokens=lessons,
        longest=longest,
        choice=choice,
        notes=[*notes, choice.sentence],
        place=place.place(profile, subject, chosen, _DEFAULTS),
        chosen={"profile": profile, **chosen},
    )


def _small_files(name: str) -> Path:
    """A folder with at least configuration and tokenizer: enough to refuse a model by."""
    return _local(name) or hub.model(_hub_name(name), weights=False)


def _whole_folder(name: str) -> Path:
    return _local(name) or hub.model(_hub_name(name))


def _local(name: str) -> Path | None:
    """The folder that `name` is the path of, or that lies under QLAB_DATA/llm, if any."""
    folders = [Path(name).expanduser()]
    if root := paths.real_data():
        folders += [root / "llm" / name, root / "llm" / name.rsplit("/", 1)[-1]]
    return next((f for f in folders if f.is_dir()), None)


def _hub_name(name: str) -> str:
    if not hub.is_name(name):
        raise QlabError(
            f"There is no model folder at {name}; give a local Hugging Face folder, or a name on "
            "the hub such as meta-llama/Llama-3.2-3B."
        )
    return name


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


def _use_threads(threads: int) -> None:
    """Tell PyTorch how many CPU threads it has, for all that follows in this process."""
    import torch

    refuse_below_one(threads=threads)
    torch.set_num_threads(threads)


def _refuse_overlap(role: str, held: list[Passage], evaluation: list[Passage]) -> None:
    """Passages that calibrate or train never evaluate, however their spaces differ."""
    seen = {_plain(p) for p in evaluation}
    both = [p for p in held if _plain(p) in seen]
    if both:
        raise QlabError(
            f"{len(both)} of {len(held)} {role} passages are among the evaluated ones "
            f"too, first '... {_plain(both[0])[-40:]}'; give others, or none to have some held out."
        )
