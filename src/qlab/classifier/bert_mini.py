"""BERT as a classifier of sentences, in Keras 2: the transformer among the models to quantize.

The encoder of Devlin et al. (arXiv 1810.04805); BERT-mini is its small version of Turc et al.
(arXiv 1908.08962), google/bert_uncased_L-4_H-256_A-4: 4 layers, width 256, 4 heads. Every matrix
is a Dense layer of its own, so that tensorflow-model-optimization can quantize them one by one;
embeddings, layer norms and the softmax of the attention stay float. Inside the encoder all tokens
of a batch are rows of one matrix, because Dense layers on three axes were seen to stay float in the
converted file. Layers have the names that transformers gives its modules, so a checkpoint's tensors
find them by name. There is no dropout.
"""

import logging
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from qlab.classifier.bert_layers import Attention, Gelu, Hidden, Positions, Regroup
from qlab.classifier.model_inputs import TOKENS as INPUTS
from qlab.core import quiet
from qlab.core.errors import QlabError

with quiet.quiet():
    import tf_keras as keras
    from tf_keras import layers
    from transformers import BertConfig

log = logging.getLogger(__name__)
MINI = BertConfig(
    hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024
)


def build(
    config: BertConfig,
    classes: int,
    length: int = 128,
    seed: int = 0,
    activation: str | None = None,
) -> keras.Model:
    """Token ids, mask and token types, each int32 [n, length] -> logits [n, classes].

    With the `activation` softmax it answers with probabilities. The inputs are named as in INPUTS;
    the mask is 1 for tokens and 0 for padding. `length` is fixed, so that every shape of the
    exported graph is; the classifier's weights come from `seed`.
    QlabError for other activations or positions than BERT's, and for a length beyond the model's.
    """
    _check(config, length)
    ids, mask, types = (keras.Input((length,), dtype="int32", name=name) for name in INPUTS)
    x = _embedded(config, ids, types)
    hidden = Hidden(name="hidden")(mask)
    for number in range(config.num_hidden_layers):
        x = _block(config, x, hidden, f"encoder.layer.{number}")
    x = Regroup((length, config.hidden_size), name="sentences")(x)
    first = layers.Cropping1D((0, length - 1), name="first_token")(x)
    first = layers.Flatten(name="first_vector")(first)
    pooled = layers.Dense(config.hidden_size, name="pooler.dense")(first)
    pooled = layers.Activation("tanh", name="pooler.tanh")(pooled)
    start = keras.initializers.TruncatedNormal(stddev=config.initializer_range, seed=seed)
    classifier = layers.Dense(classes, activation, kernel_initializer=start, name="classifier")
    return keras.Model([ids, mask, types], classifier(pooled), name="bert")


def _embedded(config: BertConfig, ids, types):
    width = config.hidden_size
    words = layers.Embedding(config.vocab_size, width, name="embeddings.word_embeddings")(ids)
    kinds = layers.Embedding(
        config.type_vocab_size, width, name="embeddings.token_type_embeddings"
    )(types)
    x = layers.Add(name="embeddings.add")([words, kinds])
    x = Positions(config.max_position_embeddings, name="embeddings.position_embeddings")(x)
    return _norm(config, Regroup((width,), name="tokens")(x), "embeddings")


def _block(config: BertConfig, x, hidden, name: str):
    """Attention and two dense layers, each with a residual connection and a norm behind it."""
    width, place = config.hidden_size, f"{name}.attention"
    parts = [
        layers.Dense(width, name=f"{place}.self.{part}")(x) for part in ("query", "key", "value")
    ]
    y = Attention(config.num_attention_heads, name=f"{place}.self")([*parts, hidden])
    y = layers.Dense(width, name=f"{place}.output.dense")(y)
    x = _norm(config, layers.Add(name=f"{place}.add")([x, y]), f"{place}.output")
    y = layers.Dense(config.intermediate_size, name=f"{name}.intermediate.dense")(x)
    y = Gelu(name=f"{name}.intermediate.gelu")(y)
    y = layers.Dense(width, name=f"{name}.output.dense")(y)
    return _norm(config, layers.Add(name=f"{name}.add")([x, y]), f"{name}.output")


def _norm(config: BertConfig, x, name: str):
    return layers.LayerNormalization(epsilon=config.layer_norm_eps, name=f"{name}.LayerNorm")(x)


def _check(config: BertConfig, length: int) -> None:
    if config.hidden_act != "gelu" or config.position_embedding_type != "absolute":
        raise QlabError(
            f"This BERT has the activation '{config.hidden_act}' and positions "
            f"'{config.position_embedding_type}'; expected 'gelu' and 'absolute'."
        )
    if not 1 <= length <= config.max_position_embeddings:
        raise QlabError(
            f"A length of {length} tokens was asked for; this BERT takes 1 to "
            f"{config.max_position_embeddings}."
        )


def load(
    folder: Path | str,
    classes: int,
    length: int = 128,
    seed: int = 0,
    activation: str | None = None,
) -> keras.Model:
    """`build` with the weights of a local Hugging Face folder: config.json, model.safetensors.

    A folder without a classifier gets one with random weights from `seed`, which is logged.
    QlabError: files missing, weights as pickle only, another architecture, tensors missing or of
    other shapes.
    """
    folder = Path(folder).expanduser()
    config, tensors = read_config(folder), _tensors(folder)
    model = build(config, classes, length, seed, activation)
    named = [layer for layer in model.layers if layer.weights]
    if "classifier.weight" not in tensors:
        log.warning("%s has no classifier: its %d classes start untrained.", folder.name, classes)
        named.remove(model.get_layer("classifier"))
    for layer in named:
        layer.set_weights(_weights_of(layer, tensors, folder))
    return model


def trained_classes(folder: Path) -> int:
    """How many classes the classifier of a folder tells apart; 0 where it has none."""
    return len(_tensors(folder).get("classifier.bias", []))


def read_config(folder: Path) -> BertConfig:
    """config.json of a folder; QlabError where there is none, or one of another architecture."""
    if not (folder / "config.json").is_file():
        raise QlabError(f"There is no BERT at {folder}: expected a folder with config.json.")
    config = BertConfig.get_config_dict(folder, local_files_only=True)[0]
    if config.get("model_type", "bert") != "bert":
        raise QlabError(f"{folder} is a '{config['model_type']}' model; expected 'bert'.")
    return BertConfig.from_dict(config)


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    """A checkpoint's tensors, by their names inside BertModel."""
    file = folder / "model.safetensors"
    if not file.is_file():
        pickled = " (it has pytorch_model.bin, a pickle, which can run code)"
        raise QlabError(
            f"{folder} has no model.safetensors"
            f"{pickled if (folder / 'pytorch_model.bin').is_file() else ''}. Convert it once, if "
            "you trust it: transformers' BertModel (BertForSequenceClassification where it has a "
            "classifier), from_pretrained(folder).save_pretrained(folder)."
        )
    try:
        tensors = load_file(file)
    except Exception as error:  # safetensors' own error has no public base class
        raise QlabError(f"{file} is damaged ({error}); get it again.") from error
    return {_module_name(name): value for name, value in tensors.items()}


def _module_name(name: str) -> str:
    """A tensor's name without the model's prefix; checkpoints of 2020 say gamma and beta."""
    plain = name.removeprefix("bert.")
    return plain.replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias")


def _weights_of(
    layer: layers.Layer, tensors: dict[str, np.ndarray], folder: Path
) -> list[np.ndarray]:
    """A layer's weights in Keras' order; PyTorch keeps a Dense kernel as [out, in]."""
    names = [f"{layer.name}.{part}" for part in ("weight", "bias")][: len(layer.weights)]
    if missing := [name for name in names if name not in tensors]:
        raise QlabError(f"{folder} has no tensor '{missing[0]}'; it is no BERT, or a part of one.")
    found = [tensors[name].astype(np.float32) for name in names]
    if isinstance(layer, layers.Dense):
        found[0] = found[0].T
    wanted = [list(weight.shape) for weight in layer.weights]
    if (shapes := [list(values.shape) for values in found]) != wanted:
        raise QlabError(
            f"{folder}: the layer '{layer.name}' has weights {shapes}; expected {wanted}."
        )
    return found
