"""Keras 2, the only one that tensorflow-model-optimization knows, loaded quietly: `keras`."""

from qlab.core import quiet
from qlab.tflite.tf import tf  # noqa: F401  (keeps TensorFlow's notes out of the log)

with quiet.quiet():  # not among the sorted imports above: TensorFlow must come first
    import tf_keras as keras  # noqa: F401
