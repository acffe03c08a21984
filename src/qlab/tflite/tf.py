"""TensorFlow, loaded without its chatter: `from qlab.tflite.tf import tf`."""

import os
import warnings

from qlab.core import quiet

# A missing GPU is no error here, but TensorFlow logs it as one on first use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet.quiet():
    import tensorflow as tf
tf.get_logger().setLevel("WARNING")  # INFO names the temporary folders of every conversion
# Shown for every model that tfmot wrapped, with the path of TensorFlow's own file.
warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")
