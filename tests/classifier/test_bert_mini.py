"""The Keras BERT is transformers' BERT: the same logits from the same files, padding included."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

from qlab.classifier import bert_layers, bert_mini, export, partial_qat
from qlab.core.errors import QlabError

LENGTH = 9
CONFIG = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=24, max_position_embeddings=12, num_labels=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    model = BertForSequenceClassification(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    return model


@pytest.fixture
def folder(reference, tmp_path):
    reference.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(0)
    lengths = np.array([LENGTH, 4, 1])[:, None]
    return {
        "input_ids": rng.integers(0, 50, (3, LENGTH)),
        "attention_mask": (np.arange(LENGTH) < lengths).astype(int),
        "token_type_ids": rng.integers(0, 2, (3, LENGTH)),
    }


def logits(model, sentences) -> np.ndarray:
    return model.predict_on_batch([sentences[n].astype(np.int32) for n in bert_mini.INPUTS])


def rewritten(folder, change) -> None:
    """The folder's tensors after a change of their names or values."""
    tensors = load_file(folder / "model.safetensors")
    save_file(dict(change(tensors)), folder / "model.safetensors")


def test_logits_are_those_of_transformers(reference, folder, sentences):
    with torch.inference_mode():
        tokens = {name: torch.tensor(values) for name, values in sentences.items()}
        expected = reference(**tokens).logits.numpy()
    assert np.ptp(expected, axis=0).min() > 0.01
    model = bert_mini.load(folder, 3, LENGTH)
    np.testing.assert_allclose(logits(model, sentences), expected, atol=1e-4)
    # What stands behind the padding mask is never looked at.
    other = sentences | {
        "input_ids": np.where(sentences["attention_mask"], sentences["input_ids"], 7)
    }
    np.testing.assert_allclose(logits(model, other), expected, atol=1e-4)


def test_every_matrix_is_a_dense_layer_and_mini_is_mini(monkeypatch):
    model = bert_mini.build(CONFIG, 3, LENGTH)
    dense = [layer for layer in model.layers if type(layer) is bert_mini.layers.Dense]
    assert len(dense) == 2 * 6 + 2
    kernels = {id(layer.kernel) for layer in dense}
    left = [w.name for w in model.weights if len(w.shape) == 2 and id(w) not in kernels]
    assert all("embeddings" in name or "vectors" in name for name in left) and len(left) == 3
    mini = bert_mini.MINI
    # Turc et al., table 1: BERT-mini has 11.3 million parameters (11.17 without the pooler's).
    width, inner, layers = mini.hidden_size, mini.intermediate_size, mini.num_hidden_layers
    embedded = (mini.vocab_size + 512 + 2 + 2) * width
    block = 4 * (width + 1) * width + (width + 1) * inner + (inner + 1) * width + 4 * width
    assert embedded + layers * block + (width + 1) * width == pytest.approx(11.2e6, rel=0.01)


def test_old_names_and_a_missing_classifier(folder, sentences, caplog):
    expected = logits(bert_mini.load(folder, 3, LENGTH), sentences)

    def older(tensors):
        for name, values in tensors.items():
            name = name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")
            yield name, values

    rewritten(folder, older)
    same = logits(bert_mini.load(folder, 3, LENGTH), sentences)
    np.testing.assert_array_equal(same, expected)
    rewritten(folder, lambda t: [(k, v) for k, v in t.items() if not k.startswith("class")])
    two = [bert_mini.load(folder, 5, LENGTH, seed=s).get_layer("classifier") for s in (1, 1, 2)]
    assert "has no classifier: its 5 classes start untrained" in caplog.text
    first, same, other = (layer.kernel.numpy() for layer in two)
    assert (first == same).all() and (first != other).any() and first.shape == (16, 5)


def test_pickles_and_missing_files_are_refused(folder, tmp_path):
    with pytest.raises(QlabError, match=r"There is no BERT at .*config\.json"):
        bert_mini.load(tmp_path / "none", 3)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(QlabError, match=r"no model\.safetensors \(it has pytorch_model\.bin, a p"):
        bert_mini.load(folder, 3)
    (folder / "pytorch_model.bin").rename(folder / "other.bin")
    with pytest.raises(QlabError, match=r"no model\.safetensors\. Convert it once"):
        bert_mini.load(folder, 3)
    (folder / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(QlabError, match="is damaged"):
        bert_mini.load(folder, 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "llama"}, "is a 'llama' model; expected 'bert'"),
        ({"hidden_act": "relu"}, "has the activation 'relu'"),
        ({"position_embedding_type": "relative_key"}, "positions 'relative_key'"),
        ({"max_position_embeddings": 5}, "A length of 9 tokens was asked for; this BERT takes 1"),
        ({"intermediate_size": 32}, r"'encoder\.layer\.0\.intermediate\.dense' has weights"),
        ({"num_hidden_layers": 3}, r"no tensor 'encoder\.layer\.2\.attention\.self\.query\.weight"),
    ],
)
def test_other_architectures_are_refused(folder, change, sentence):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(QlabError, match=sentence):
        bert_mini.load(folder, 3, LENGTH)


@pytest.mark.parametrize(
    "where, k, bits",
    [
        ("last", 2, 8), ("last", 14, 8), ("first", 4, 8), ("only", 4, 8), ("last", 14, 4),
        ("attention", 8, 4),
    ],
)  # fmt: skip
def test_chosen_matrices_are_integers_in_the_file(tmp_path, where, k, bits):
    """At 4 bits and tfmot's own ranges small weights all become 0, and the file has them once."""
    model = bert_mini.build(CONFIG, 3, LENGTH)
    layers = partial_qat.weighted_layers(model)
    chosen = partial_qat.choose(layers, where, k)
    wrapped = partial_qat.quantized(model, chosen, bits, bert_layers.left_float(model))
    file = tmp_path / "bert.tflite"
    file.write_bytes(export.convert(wrapped))
    export.check(file, layers, chosen, bits)
    found = export.operators_of(file, layers)
    assert len(set(found.values())) == len(layers)
