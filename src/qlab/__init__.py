"""What quantization costs and buys, measured: the package that the notebooks call."""

import os

# transformers would import TensorFlow too, wherever it is installed: ten seconds, and noise.
os.environ.setdefault("USE_TF", "0")
