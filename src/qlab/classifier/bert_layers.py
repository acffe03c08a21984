"""The layers that BERT needs beyond Keras' own; none has a matrix to quantize."""

from qlab.core import quiet
from qlab.core.tf import tf

with quiet.quiet():
    import tf_keras as keras
    from tf_keras import layers

NAMES = ("Regroup", "Hidden", "Gelu", "Attention", "Positions")  # as files may name them


@keras.saving.register_keras_serializable("qlab")
class Regroup(layers.Layer):
    """Reshapes a batch to [-1, *shape]; unlike Keras' own Reshape, the first axis may change."""

    def __init__(self, shape: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def call(self, x):
        """The batch `x` as [-1, *shape]."""
        return tf.reshape(x, [-1, *self.shape])

    def get_config(self) -> dict:
        """What Keras saves to make the layer again."""
        return {**super().get_config(), "shape": tuple(self.shape)}


@keras.saving.register_keras_serializable("qlab")
class Hidden(layers.Layer):
    """The mask, int32 [n, length], turned round: 1.0 at padding, 0.0 at tokens.

    A layer of its own because tfmot quantizes a model's input where a layer it wraps reads it, and
    integers it cannot.
    """

    def call(self, mask):
        """float32 [n, length]; `mask` is 1 at tokens and 0 at padding."""
        return 1.0 - tf.cast(mask, tf.float32)


@keras.saving.register_keras_serializable("qlab")
class Gelu(layers.Layer):
    """Hendrycks and Gimpel, arXiv 1606.08415. Not Keras' Activation: tfmot knows no quantized gelu,
    and behind a Dense layer it would leave that in float."""

    def call(self, x):
        """x times the normal distribution function at x; any shape."""
        return tf.nn.gelu(x)


@keras.saving.register_keras_serializable("qlab")
class Attention(layers.Layer):
    """Scaled dot-product attention (arXiv 1706.03762, equation 1) of several heads; no weights.

    Call it on queries, keys, values, each rows [n * length, width], and on what `Hidden` makes of
    the mask; returns rows.
    """

    def __init__(self, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs):
        """Rows [n * length, width] from (queries, keys, values, hidden)."""
        query, _, _, hidden = inputs
        length, width = hidden.shape[1], query.shape[1]
        parts = [tf.reshape(t, [-1, length, self.heads, width // self.heads]) for t in inputs[:3]]
        query, key, value = (tf.transpose(t, [0, 2, 1, 3]) for t in parts)
        scores = tf.matmul(query, key, transpose_b=True) / (width // self.heads) ** 0.5
        scores += hidden[:, None, None] * -1e9
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        return tf.reshape(mixed, [-1, width])

    def get_config(self) -> dict:
        """What Keras saves to make the layer again."""
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable("qlab")
class Positions(layers.Layer):
    """Adds a learned vector for each place: [n, length, width] -> the same shape."""

    def __init__(self, places: int, **kwargs):
        super().__init__(**kwargs)
        self.places = places

    def build(self, shape):
        """Make the vectors [places, width]."""
        self.vectors = self.add_weight("vectors", (self.places, shape[-1]))

    def call(self, x):
        """`x` [n, length, width] and the vectors of its first `length` places."""
        return x + self.vectors[: x.shape[1]]

    def get_config(self) -> dict:
        """What Keras saves to make the layer again."""
        return {**super().get_config(), "places": self.places}


def left_float(model: keras.Model) -> list[str]:
    """Names of the layers that tfmot has no integers for, as `partial_qat` takes them."""
    return [x.name for x in model.layers if isinstance(x, Attention | Gelu)]
