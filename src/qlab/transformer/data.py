"""What notebook 06 works on: a transformer that classifies sentences, and sentences for it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from qlab.core import cache, embedded, hub, parameters
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive, Size
from qlab.transformer import encoder, mini_reviews, sentences
from qlab.transformer.sentences import Pairs, Tokens

EMBEDDED = "bert_mini_reviews"
PUBLISHED = "google/bert_uncased_L-4_H-256_A-4"  # BERT-mini, Turc et al., arXiv 1908.08962
REAL = ("small", "full")  # profiles on published models and SST-2; the others are embedded
STEPS = {"smoke": 4, "mini": 100, "small": 1000, "full": 4000}  # of fine-tuning
RATE = {"smoke": 5e-4, "mini": 5e-4, "small": 1e-4, "full": 1e-4}  # at its first step
TRAIN = {"smoke": 128, "mini": 3200, "small": 0, "full": 0}  # sentences; 0: all there are
TEST = {"smoke": 200, "mini": 2000, "small": 0, "full": 0}
BATCH, LONGEST = 32, 128  # sentences a step, tokens a sentence


class Parameters(parameters.Parameters):
    """Of notebook 06; what each means stands in its cell."""

    profile: Literal["smoke", "mini", "small", "full"] = "mini"
    model: str = ""
    data: str = ""
    seeds: Positive = 3
    steps: Count = 0
    rate: Size = 0.0
    limit: Count = 0
    threads: Positive = 2
    seed: Count = 0


@dataclass(frozen=True)
class Task:
    """A float classifier, sentences that train and others that judge."""

    given: Parameters  # as the notebook's cell has them
    model: str  # as the records name it
    folder: Path  # of the float model
    headless: bool  # its classifier is yet to be trained
    dataset: str  # as the records name it
    classes: int
    train: Tokens = field(repr=False)  # fine-tunes
    test: Tokens = field(repr=False)  # judges
    texts: dict[str, str]  # hashes of the sentences of both
    notes: list[str]  # sentences to tell the reader

    @property
    def steps(self) -> int:
        """Of fine-tuning."""
        return self.given.steps or STEPS[self.given.profile]

    @property
    def rate(self) -> float:
        """Learning rate at the first step of fine-tuning."""
        return self.given.rate or RATE[self.given.profile]

    @property
    def place(self) -> str:
        """Folder name of its records and figures."""
        return self.given.place(self.model)

    @cached_property
    def parent(self) -> str:
        """Hash of the float model's files."""
        return cache.file_sha256(self.folder)

    def load(self):
        """The float model, fresh from its folder, ready to judge; a missing head is drawn."""
        torch.manual_seed(self.given.seed)
        return load(self.folder, self.classes)

    def settings(self) -> dict[str, Any]:
        """What the parameters resolved to, for the provenance."""
        resolved = {"model": self.model, "dataset": self.dataset, "batch": BATCH}
        resolved |= {"steps": self.steps, "rate": self.rate}
        resolved |= {"training_sentences": len(self.train.labels)}
        resolved |= {"test_sentences": len(self.test.labels)}
        return self.given.model_dump(exclude=parameters.PATHS) | resolved

    def inputs(self) -> dict[str, str]:
        """sha256 of what went in, for the provenance and for the address of what is made of it."""
        return {"model": self.parent, **self.texts}


def prepare(given: Parameters) -> Task:
    """The task that the parameters name, checked.

    QlabError: no model or data there, a model and data that do not belong together.
    """
    torch.set_num_threads(1)  # a point takes one; as many as `threads` are computed at once
    name = given.model or (PUBLISHED if given.profile in REAL else "")
    folder = _folder(name) if name else embedded.model_folder(EMBEDDED)
    config = _config(folder)
    dataset, train, test = _pairs(given)
    judging = {text for text, _ in test}
    kept = [pair for pair in train if pair[0] not in judging]
    lost, notes = len(train) - len(kept), []
    if lost:
        notes.append(f"{lost} training sentences are test sentences too and were left out.")
    classes = max(label for _, label in train) + 1
    headless = not any("Classification" in name for name in config.architectures or [])
    if headless:
        notes.append(f"{folder.name} has no classifier: it is first trained, in float.")
    elif config.num_labels != classes:
        raise QlabError(
            f"{folder} answers with {config.num_labels} classes; {dataset} has {classes}. Give a "
            "model and data that belong together."
        )
    with torch.device("meta"):
        encoder.linears(AutoModelForSequenceClassification.from_config(config))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    longest = min(LONGEST, config.max_position_embeddings)
    parts = [sentences.encode(pairs, tokenizer, longest) for pairs in (kept, test)]
    texts = {"train": cache.hash_json(kept), "test": cache.hash_json(test)}
    known = name.rsplit("/", 1)[-1] if hub.is_name(name) else folder.resolve().name
    return Task(given, known, folder, headless, dataset, classes, *parts, texts, notes)


def load(folder: Path, classes: int):
    """The classifier in a folder, in float32, ready to judge."""
    logging.set_verbosity_error()  # it would warn of a head that is missing, which is told here
    how = {"num_labels": classes, "torch_dtype": torch.float32, "local_files_only": True}
    return AutoModelForSequenceClassification.from_pretrained(folder, **how).eval()


def with_head(task: Task, train: Callable, source: str) -> Task:
    """The task with its float model trained by `train(model)`, made once, where it is headless.

    `source` is the text of what trains, by which a changed one is found.
    """
    if not task.headless:
        return task
    recipe = {**task.inputs(), "train": source, "settings": task.settings()}
    recipe |= {"code": cache.code_sha256(__name__), "versions": cache.versions("torch")}

    def make(folder: Path) -> None:
        train(model := task.load())
        model.save_pretrained(folder / task.model)
        AutoTokenizer.from_pretrained(task.folder).save_pretrained(folder / task.model)

    made = cache.artefact("transformer_parent", recipe, make) / task.model
    return dataclasses.replace(task, folder=made, headless=False)


def _folder(name: str) -> Path:
    """A model's folder: a path, or a name on the hub."""
    place = Path(name).expanduser()
    if place.exists() or not hub.is_name(name):
        return place
    return hub.model(name)


def _config(folder: Path):
    """What config.json says; QlabError: no such file, or no safetensors beside it."""
    if not (folder / "config.json").is_file():
        raise QlabError(
            f"There is no config.json in {folder}; the parameter 'model' takes a Hugging Face "
            "folder of a BERT with its tokenizer, or a name on the hub."
        )
    if not list(folder.glob("model*.safetensors")):
        raise QlabError(
            f"{folder} has no model.safetensors, and pickles, which can run code, are not read. If "
            "you trust one, convert it: transformers' from_pretrained(folder).save_pretrained(new)."
        )
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _pairs(given: Parameters) -> tuple[str, Pairs, Pairs]:
    """The data's name, and its sentences that train and that judge, as many as the profile has."""
    few, judged = TRAIN[given.profile], given.limit or TEST[given.profile]
    if not given.data and given.profile not in REAL:
        test = mini_reviews.reviews("test", min(judged, mini_reviews.COUNTS["test"]))
        return mini_reviews.NAME, mini_reviews.reviews("train", few), test
    folder = Path(given.data).expanduser() if given.data else sentences.sst2()
    train, test = (sentences.read(folder / name) for name in sentences.FILES)
    most = max(label for _, label in train)
    if beyond := [label for _, label in test if label > most]:
        raise QlabError(
            f"{folder / sentences.FILES[1]} has the label {beyond[0]}; {sentences.FILES[0]} has 0 "
            f"to {most}. Labels of both must be the same."
        )
    return folder.resolve().name, train[: few or None], test[: judged or None]
