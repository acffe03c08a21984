"""Notebook 03 on sentences: a BERT's folder and SST-2's files become a task like any other."""

import json

import numpy as np
import pytest
import tiny_bert
from test_hub import served as hub_server

from qlab.classifier import answers as classification
from qlab.classifier import (
    bert_training,
    distributed_training,
    distributed_worker,
    export,
    fine_tune_memory,
    measure,
    mini_reviews,
    sentence_task,
    sentence_tokens,
    sweep,
    toy_bert,
    words,
)
from qlab.classifier import data as classification_task
from qlab.classifier import model as keras_classifier
from qlab.classifier import points as qat_sweep
from qlab.classifier.points import Bench, Point
from qlab.classifier.sst2 import Sentences
from qlab.core.errors import QlabError

served_hub = hub_server  # a server on loopback that has one model, o/m


@pytest.fixture
def served(served_hub, monkeypatch):
    """The hub's server, whose one model stands for BERT-mini."""
    monkeypatch.setattr(sentence_task, "HUB_NAME", "o/m")
    for file in served_hub.folder.iterdir():
        if file.suffix in (".json", ".safetensors"):
            file.unlink()
    return served_hub


@pytest.fixture
def data(tmp_path):
    return tiny_bert.write_sentences(tmp_path / "SST-2")


@pytest.fixture
def bert(tmp_path):
    """A folder whose classifier is there: nothing has to be trained."""
    return tiny_bert.write(tmp_path / "bert", classes=2)


def prepare(model, data="", profile="smoke", **more):
    return classification_task.prepare(profile, str(model), str(data), **more)


def test_a_folder_with_a_classifier_is_taken_as_it_is(home, bert, data):
    task = prepare(bert, data)
    assert (task.model, task.dataset, task.notes) == ("bert", "SST-2", ())
    assert (len(task.train), len(task.calibration), len(task.test)) == (48, 16, 12)
    assert task.settings()["test_sentences"] == 12
    assert task.training.epochs == 1 and task.place.startswith("smoke-bert-")
    assert "encoder.layer.0.attention.self" in task.leave_float
    ids = task.test.tokens["input_ids"]
    assert ids[0, 0] == tiny_bert.WORDS.index("[CLS]") and ids.shape == (12, 14)
    found = classification.keras_probabilities(task.load(), task.test.inputs)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert Bench(task).layers[-1] == "classifier" and len(Bench(task).layers) == 8


def test_a_folder_without_a_classifier_is_first_trained_and_it_is_said(
    home, tmp_path, data, caplog, monkeypatch
):
    taught, train = [], bert_training.train

    def watched(model, examples, settings):
        before = model.get_weights()
        train(model, examples, settings)
        same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
        taught.append((len(examples), any(same)))

    monkeypatch.setattr(bert_training, "train", watched)
    task = prepare(tiny_bert.write(tmp_path / "bare"), data)
    [note] = task.notes
    assert note.startswith(
        "bare came without a classifier: it was first trained in float, for 3 ep"
    )
    assert "48 sentences" in note and "its 2 classes start untrained" in caplog.text
    parent = qat_sweep.parent(Bench(task), 1)
    assert words.float_accuracy(task, parent).endswith(note)
    assert "on 12 sentences of SST-2" in words.float_accuracy(task, parent)
    again = prepare(tmp_path / "bare", data)
    assert again.file == task.file and again.notes == task.notes
    assert taught == [(48, False)]  # once, and all of its weights


def test_bert_mini_comes_from_the_hub_with_its_vocabulary(home, served, data):
    tiny_bert.write(served.folder, classes=2)
    task = prepare("bert_mini", data)
    assert (task.model, len(task.test)) == ("bert_mini", 12)
    asked = " ".join(path for path, _ in served.asked)
    assert "vocab.txt" in asked and "model.safetensors" in asked
    assert "evil.py" not in asked and "pytorch_model.bin" not in asked


def test_bert_mini_without_safetensors_says_how_to_convert_it(home, served, data):
    tiny_bert.write(served.folder, classes=2)
    for file in served.folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(QlabError, match=r"no safetensors on the hub, .*save_pretrained\(FOLDER\)"):
        prepare("bert_mini", data)


def test_training_sentences_never_judge(home, bert, data, caplog):
    lines = (data / "dev.tsv").read_text().splitlines()
    (data / "train.tsv").write_text((data / "train.tsv").read_text() + lines[3] + "\n")
    task = prepare(bert, data)
    assert "1 training sentences are test sentences too" in caplog.text
    rows = [
        {r.tobytes() for r in p.tokens["input_ids"]}
        for p in (task.train, task.calibration, task.test)
    ]
    assert not rows[0] & rows[2] and not rows[1] & rows[2] and not rows[0] & rows[1]


def test_what_does_not_belong_together(home, bert, data, tmp_path):
    (tmp_path / "images" / "train" / "cat").mkdir(parents=True)
    with pytest.raises(QlabError, match=r"images holds no sentences, .* train\.tsv and dev\.tsv"):
        prepare(bert, tmp_path / "images")
    with pytest.raises(QlabError, match=r"holds sentences .* which an image classifier does not"):
        prepare("resnet8_shapes32", data)
    task = prepare(bert, data)
    with pytest.raises(QlabError, match=r"bert\.h5 reads sentences .*give the Hugging Face folder"):
        prepare(task.file, tmp_path / "images")
    images = np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(QlabError, match=r"takes sentences of 14 tokens .* got 2 of \[32, 32, 3\]"):
        classification.keras_probabilities(task.load(), images)
    with pytest.raises(QlabError, match="got 2 of"):
        classification.tflite_probabilities(Bench(task).float_file, images)
    resnet = classification_task.prepare("smoke").load()
    with pytest.raises(QlabError, match=r"takes images .* got 12 sentences of 14 tokens"):
        classification.keras_probabilities(resnet, task.test.inputs)
    three = tiny_bert.write(tmp_path / "three", classes=3)
    with pytest.raises(QlabError, match="three answers with 3 classes; the data have 2"):
        prepare(three, data)


def test_tokenizers_that_are_missing_or_belong_to_another_model(home, bert, data):
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"vocab_size": 10}))
    with pytest.raises(QlabError, match=r"the word 'bad' the id 10; the model knows 0 to 9"):
        prepare(bert, data)
    (bert / "vocab.txt").unlink()
    with pytest.raises(
        QlabError, match=r"has no tokenizer: expected tokenizer\.json or vocab\.txt"
    ):
        prepare(bert, data)
    (bert / "tokenizer.json").write_text("{")
    with pytest.raises(QlabError, match="The tokenizer in .* cannot be read"):
        prepare(bert, data)


def test_long_sentences_are_cut_and_it_is_said(bert, caplog):
    tokenizer = sentence_tokens.load_tokenizer(bert)
    texts = ["good " * 20, "bad wine"]
    assert sentence_tokens.length_of(texts, tokenizer, 128) == 22
    assert sentence_tokens.length_of(texts, tokenizer, 6) == 6
    assert "has 22 tokens: cut to the first 6" in caplog.text
    two = Sentences(texts, np.array([1, 0]))
    found = sentence_tokens.encoded(two, tokenizer, ("0", "1"), 6, 11)
    ends = [tiny_bert.WORDS.index(w) for w in ("[CLS]", "[SEP]")]
    assert found.tokens["input_ids"][0, [0, -1]].tolist() == ends
    assert found.tokens["attention_mask"].sum(1).tolist() == [6, 4]


def test_the_toys_tokenizer_knows_every_word_of_its_data(tmp_path):
    toy_bert.write(tmp_path)
    tokenizer = sentence_tokens.load_tokenizer(tmp_path)
    some = mini_reviews.load("test", 300)
    longest = sentence_tokens.length_of(some.texts, tokenizer, 48)
    size = len(mini_reviews.vocabulary()) + len(toy_bert.SPECIAL)
    found = sentence_tokens.encoded(some, tokenizer, ("0", "1"), longest, size)
    assert (found.tokens["input_ids"] != tokenizer.unk_token_id).all()
    assert found.tokens["attention_mask"].sum(1).max() == longest


def test_a_model_file_still_names_no_code_but_keras_and_our_own(home, bert, data, tmp_path):
    file = prepare(bert, data).file
    assert keras_classifier.load(file).input_shape == [(None, 14)] * 3
    import h5py

    changed = tmp_path / "changed.h5"
    changed.write_bytes(file.read_bytes())
    with h5py.File(changed, "r+") as content:
        config = content.attrs["model_config"]
        text = config.decode() if isinstance(config, bytes) else config
        content.attrs["model_config"] = text.replace("qlab>Gelu", "qlab>Shell")
    with pytest.raises(QlabError, match="'encoder.layer.0.intermediate.gelu' is a qlab>Shell, not"):
        keras_classifier.load(changed)


def test_attention_and_feed_forward_are_points_of_their_own():
    layers = [f"encoder.layer.{n}.{part}" for n in (0, 1) for part in (
        "attention.self.query", "attention.self.key", "attention.self.value",
        "attention.output.dense", "intermediate.dense", "output.dense")]  # fmt: skip
    points = sweep.part_points([*layers, "pooler.dense", "classifier"], seeds=2)
    assert {p.variant for p in points if p.method == "ptq"} == {
        "ptq_w8a8_attention8", "ptq_w4a8_attention8", "ptq_w8a8_feedforward4",
        "ptq_w4a8_feedforward4",
    }  # fmt: skip
    assert len(points) == 4 + 2 * 4
    assert sweep.part_points(["conv1", "dense"], seeds=2) == []
    with pytest.raises(QlabError, match="None of the model's 2 layers is a matrix of attention"):
        qat_sweep.partial_qat.choose(["conv1", "dense"], "attention", 1)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
def test_points_of_a_bert_are_as_asked(home, bert, data, bits):
    bench = Bench(prepare(bert, data, epochs=1))
    parent = qat_sweep.parent(bench, 1)
    answers = {}
    for point in (Point("qat", "attention", 4, bits), Point("ptq", "feedforward", 2, bits)):
        answers[point] = qat_sweep.answer(point, bench, 1)
        kinds = export.weight_types(answers[point].file, bench.layers)
        wanted = point.where == "attention"
        quantized = [n for n in bench.layers if kinds[n] == f"INT{bits}"]
        assert len(quantized) == point.k
        assert all((".attention." in name) == wanted for name in quantized)
    found = measure.accuracy_records(bench.task, parent, answers)
    found += measure.robustness_records(bench.task, bench, answers, 1)
    assert {r.unit for r in found if r.metric == "flips_lost"} == {"sentence"}
    assert "SST-2_unknown3" in {r.dataset for r in found}


@pytest.mark.slow
def test_memory_and_network_are_measured_on_sentences_too(home, bert, data, tmp_path):
    """What the processes of `sweep=long` do, here in one process."""
    task = prepare(bert, data)
    fine_tune_memory._train(task.file, ["classifier"], 8, task.leave_float, 4)
    worker = distributed_worker.Worker()
    given = distributed_training.write_examples(task.train, tmp_path)
    layers = [name for name in Bench(task).layers if ".attention." in name]
    sent = worker.configure(
        str(task.file),
        layers,
        8,
        None,
        list(task.leave_float),
        str(given),
        batch=4,
        rate=1e-3,
        seed=0,
    )
    assert sent["trained_parameters"] == sum(
        w.size for w in map(np.asarray, task.load().get_weights())
    )
    losses = [worker.step(number)["loss"] for number in (1, 2)]
    assert np.isfinite(losses).all() and losses[0] != losses[1]
