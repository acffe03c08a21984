"""Keras 2, which tensorflow-model-optimization knows alone, loaded without chatter: `keras`."""

from qlab.core import quiet
from qlab.core.tf import tf  # noqa: F401  (keeps TensorFlow's notes out of the log)

with quiet.quiet():  # not among the imports above, which are sorted: TensorFlow comes first
    import tf_keras as keras  # noqa: F401
