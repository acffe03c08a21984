"""What the embedded ResNets learn from; the notebook `train_resnet` trains them."""

import numpy as np

from qlab.classifier.fine_tune import mirrored
from qlab.classifier.resnet import tf
from qlab.core import parameters
from qlab.core.labelled_images import LabelledImages


class Parameters(parameters.Training):
    """Of the notebook `train_resnet`."""

    models: str = "resnet8,resnet20"


def batches(data: LabelledImages, batch: int, seed: int) -> tf.data.Dataset:
    """Endless batches of images float32 and labels int64, mirrored and shuffled every epoch.

    Every image comes once an epoch but for the rest that fills no batch. The mirror image of a
    shape of `shapes32` is that shape again, so labels stay right.
    """

    def endless():
        rng = np.random.default_rng(seed)
        while True:
            order = rng.permutation(len(data))
            for start in range(0, len(data) - batch + 1, batch):
                chosen = order[start : start + batch]
                yield mirrored(data.images[chosen], rng).astype(np.float32), data.labels[chosen]

    image = tf.TensorSpec((batch, *data.images.shape[1:]), tf.float32)
    signature = image, tf.TensorSpec((batch,), tf.int64)
    return tf.data.Dataset.from_generator(endless, output_signature=signature).prefetch(4)
