"""What notebook 06 works on: a transformer that classifies sentences, and sentences for it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from qlab.core import cache, parameters, paths
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive, Size
from qlab.files import embedded, fetch, hub
from qlab.transformer import sentences
from qlab.transformer.sentences import Pairs, Tokens

EMBEDDED, REVIEWS = "bert_mini_reviews", "mini_reviews"  # a model, and the data it learned from
PUBLISHED = "google/bert_uncased_L-4_H-256_A-4"  # BERT-mini, Turc et al., arXiv 1908.08962
BATCH, LONGEST = 32, 128  # sentences per step, most tokens per sentence
# Steps of fine-tuning, initial learning rate, training sentences, test sentences (0: all).
AMOUNTS = {"smoke": (4, 3e-4, 128, 200), "mini": (80, 3e-4, 2560, 2000)}
AMOUNTS |= {"small": (1000, 1e-4, 0, 0), "full": (4000, 1e-4, 0, 0)}  # on published models


class Parameters(parameters.Parameters):
    """The parameters of notebook 06; its cell explains them."""

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
    """A float classifier, and sentences to fine-tune and to judge it."""

    given: Parameters  # as the notebook's cell has them
    model: str  # as the records name it
    folder: Path  # of the float model
    headless: bool  # whether its classifier has yet to be trained
    dataset: str  # as the records name it
    class_count: int  # that it distinguishes
    train: Tokens = field(repr=False)  # for fine-tuning
    test: Tokens = field(repr=False)  # for judging
    texts: dict[str, str]  # hashes of the sentences of both
    steps: int  # of fine-tuning
    rate: float  # of learning, at the first step
    notes: list[str]  # for the reader, a sentence each
    place: str  # folder name of its records and figures

    def load(self):
        """The float model, fresh from its folder, in eval mode; a missing head starts at random."""
        logging.set_verbosity_error()  # it would warn of a missing head, which `notes` mention
        torch.manual_seed(self.given.seed)
        how = {"torch_dtype": torch.float32, "use_safetensors": True}  # no pickle
        classifier = AutoModelForSequenceClassification
        return classifier.from_pretrained(self.folder, num_labels=self.class_count, **how).eval()

    def settings(self) -> dict[str, Any]:
        """What the parameters resolved to, for the provenance."""
        sizes = {"train": len(self.train.labels), "test": len(self.test.labels), "batch": BATCH}
        named = {"model": self.model, "dataset": self.dataset, "steps": self.steps}
        return self.given.model_dump(exclude=parameters.PATHS) | named | sizes | {"rate": self.rate}

    def inputs(self) -> dict[str, str]:
        """sha256 of the model's files and of the sentences."""
        return {"model": cache.file_sha256(self.folder), **self.texts}


def prepare(given: Parameters) -> Task:
    """The task that the parameters name, checked; QlabError: parts are missing or do not match."""
    real, (steps, rate, few, judged) = given.profile in ("small", "full"), AMOUNTS[given.profile]
    name, judged = given.model or (PUBLISHED if real else ""), given.limit or judged
    folder = Path(name).expanduser() if name else embedded.model_folder(EMBEDDED)
    folder = hub.model(name) if hub.is_name(name) and not folder.exists() else folder
    if not (folder / "config.json").is_file():
        raise QlabError(
            f"There is no config.json in {folder}; the parameter 'model' takes a Hugging Face "
            "folder of a BERT with its tokenizer, or a name on the hub."
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    dataset, train, test = _pairs(given.data, real, few, judged)
    known, classes = {text for text, _ in test}, max(label for _, label in train) + 1
    kept = [pair for pair in train if pair[0] not in known]
    lost = f"{len(train) - len(kept)} training sentences judge too and were left out."
    notes = [lost] if len(kept) < len(train) else []
    if headless := "Classification" not in "".join(config.architectures or []):
        notes.append(f"{folder.name} has no classifier: it is first trained, in float.")
    if max(label for _, label in test) >= classes or not headless and config.num_labels != classes:
        raise QlabError(
            f"{folder} answers with {config.num_labels} classes; {dataset} has {classes} to train, "
            "and no others may judge. Give a model and data that belong together."
        )
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    if not any(isinstance(m, torch.nn.Linear) and "layer" in n for n, m in model.named_modules()):
        raise QlabError(
            f"{type(model).__name__} in {folder} has no stack of linear layers, which are what is "
            "quantized here; give a classifier of sentences such as a BERT."
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    longest = min(LONGEST, config.max_position_embeddings)
    parts = [sentences.encode(pairs, tokenizer, longest) for pairs in (kept, test)]
    texts = {"train": cache.hash_json(kept), "test": cache.hash_json(test)}
    name = name.rsplit("/", 1)[-1] if hub.is_name(name) else folder.resolve().name
    about = (given, name, folder, headless, dataset, classes, *parts, texts)
    return Task(*about, given.steps or steps, given.rate or rate, notes, given.place(name))


def _pairs(data: str, real: bool, few: int, judged: int) -> tuple[str, Pairs, Pairs]:
    """The data's name, training sentences and test sentences; a count of 0 means all of them."""
    own = Path(data).expanduser() if data else None
    folder = own or (fetch.get("sst2") if real else paths.home() / "data" / REVIEWS)
    train, test = (sentences.read(folder / name) for name in sentences.FILES)
    return folder.resolve().name, train[: few or None], test[: judged or None]
