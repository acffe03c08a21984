"""What notebook 03 works on where the classifier reads sentences: a BERT and its data."""

from pathlib import Path

from qlab.classifier import mini_reviews, sst2
from qlab.classifier.labelled_examples import LabelledExamples
from qlab.classifier.subject import Split, Subject, split
from qlab.core import hub, paths
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError

TOY, MINI = "toy_bert", "bert_mini"
HUB_NAME = "google/bert_uncased_L-4_H-256_A-4"  # BERT-mini, Turc et al., arXiv 1908.08962
# Sentences that train a BERT in float, where it has no classifier yet; 0 means all there are.
FLOAT_TRAIN = {"smoke": 2048, "mini": 8192, "full": 0}
TOY_TRAIN = 8192  # of the toy, whatever the profile: with fewer it learns next to nothing


def takes(model: str) -> bool:
    """Whether the parameter 'model' names a BERT: `toy_bert`, `bert_mini`, or a folder of one."""
    return model in (TOY, MINI) or bool(model) and (_path(model) / "config.json").is_file()


def _path(text: str) -> Path:
    return Path(text).expanduser()


def subject(profile: str, model: str, data: str) -> Subject:
    """The BERT as a Keras 2 file that answers with probabilities, and its data.

    `data` is a folder in SST-2's layout; empty, it is mini_reviews, or for `full` SST-2 under
    QLAB_DATA if it is there. A BERT without a classifier is first trained in float on the training
    sentences, for the sweep needs a parent that can do the task.
    """
    folder = _folder(model)
    own = _path(data) if data else _real(profile)
    dataset, (train, calibration, test) = _data(folder, own, profile)
    most = TOY_TRAIN if model == TOY else FLOAT_TRAIN[profile] or len(train)
    taught = train.first(min(most, len(train)))
    name = model if model in (TOY, MINI) else folder.resolve().name
    file, notes = _file(name, folder, taught, model == TOY)
    return Subject(name, file, dataset, train, calibration, test, notes)


def _folder(model: str) -> Path:
    """The Hugging Face folder of a BERT."""
    if model == MINI:
        return _downloaded()
    if model != TOY:
        return _path(model)
    from qlab.classifier import toy_bert

    recipe = {"code": code_sha256(__name__)}
    return artefact("toy_bert", recipe, toy_bert.write)


def _downloaded() -> Path:
    """BERT-mini's folder in the hub's cache."""
    folder = hub.model(HUB_NAME)
    if not (folder / "model.safetensors").is_file():
        raise QlabError(
            f"{HUB_NAME} has no safetensors on the hub, and pickles are not read. Convert it once, "
            f"if you trust it: transformers' BertModel.from_pretrained('{HUB_NAME}')"
            ".save_pretrained(FOLDER), the same with BertTokenizerFast; then model=FOLDER."
        )
    return folder


def _real(profile: str) -> Path | None:
    """SST-2 under QLAB_DATA, for `full`."""
    folder = (paths.real_data() or Path()) / "SST-2"
    return folder if profile == "full" and paths.real_data() and folder.is_dir() else None


def _data(folder: Path, own: Path | None, profile: str) -> tuple[str, Split]:
    """Name and parts of the data, as tokens of the folder's own tokenizer."""
    from qlab.classifier import bert_mini, sentence_tokens

    config = bert_mini.read_config(folder)
    tokenizer = sentence_tokens.load_tokenizer(folder)
    parts = _own(own) if own else [mini_reviews.load(s) for s in mini_reviews.COUNTS]
    most = min(sentence_tokens.LONGEST, config.max_position_embeddings)
    texts = [text for part in parts for text in part.texts]
    length = sentence_tokens.length_of(texts, tokenizer, most)
    classes = tuple(map(str, range(parts[0].labels.max() + 1)))
    tokens = [
        sentence_tokens.encoded(part, tokenizer, classes, length, config.vocab_size)
        for part in parts
    ]
    return (own.resolve().name, split(*tokens)) if own else (mini_reviews.NAME, tuple(tokens))


def _own(folder: Path) -> list[sst2.Sentences]:
    if not sst2.is_folder(folder):
        raise QlabError(
            f"{folder} holds no sentences, which this model reads: expected "
            f"{' and '.join(sst2.SPLITS)}, as in GLUE's SST-2. Images go with an image classifier."
        )
    return list(sst2.load(folder))


def _file(
    name: str, folder: Path, train: LabelledExamples, toy: bool
) -> tuple[Path, tuple[str, ...]]:
    """The classifier's file, and what to tell of how it was made; a toy has no weights."""
    from qlab.classifier import bert_mini, bert_training, toy_bert

    known = 0 if toy else bert_mini.trained_classes(folder)
    if known and known != len(train.classes):
        raise QlabError(
            f"{folder} answers with {known} classes; the data have {len(train.classes)}. Give a "
            "model and data that belong together."
        )
    settings = toy_bert.TRAINING if toy else bert_training.PRETRAINED
    length = train.inputs["input_ids"].shape[1]
    recipe = {
        "folder": file_sha256(folder),
        "length": length,
        "train": None if known else train.sha256,
        "settings": None if known else settings._asdict(),
        "code": code_sha256(__name__),
        "versions": versions("tensorflow", "tf-keras"),
    }

    def make(target: Path) -> None:
        shape = (len(train.classes), length, 0, "softmax")
        if toy:
            model = bert_mini.build(bert_mini.read_config(folder), *shape)
        else:
            model = bert_mini.load(folder, *shape)
        if not known:
            bert_training.train(model, train, settings)
        model.save(target / "bert.h5", include_optimizer=False)

    file = artefact("bert", recipe, make) / "bert.h5"
    if known:
        return file, ()
    told = f"{name} came without a classifier: it was first trained in float, for "
    return file, (f"{told}{settings.epochs} epochs of {len(train):,} sentences.",)
