"""Training a BERT in float, as the parent that a sweep over quantized layers needs."""

from typing import NamedTuple

from qlab.classifier import model_inputs
from qlab.classifier.labelled_tokens import LabelledTokens
from qlab.core import quiet

with quiet.quiet():
    import tf_keras as keras


class Settings(NamedTuple):
    """How a BERT is trained: Adam, one tenth of the steps to warm up, then a cosine."""

    epochs: int  # passes through the sentences
    rate: float  # the highest learning rate
    batch: int = 32  # sentences of a step


# Among what the authors of the small BERTs tried (google-research/bert, README: 3e-4 to 3e-5).
PRETRAINED = Settings(3, 1e-4)


def train(
    model: keras.Model, data: LabelledTokens, settings: Settings, seed: int = 0
) -> keras.Model:
    """The same model, trained by cross-entropy; it has to answer with probabilities."""
    keras.utils.set_random_seed(seed)
    steps = settings.epochs * -(-len(data) // settings.batch)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 10, warmup_target=settings.rate, warmup_steps=steps // 10
    )
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    inputs = model_inputs.fed(data.inputs)
    model.fit(inputs, data.labels, settings.batch, settings.epochs, verbose=0)
    return model
