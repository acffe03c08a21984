"""What the embedded ResNets learn from; the notebook `train_resnet` trains them."""

from collections.abc import Iterator

from qlab.classifier import fine_tune
from qlab.core import parameters
from qlab.core.labelled_images import LabelledImages


class Parameters(parameters.Training):
    """Of the notebook `train_resnet`."""

    models: str = "resnet8,resnet20"


def batches(data: LabelledImages, batch: int, seed: int) -> Iterator[fine_tune.Step]:
    """Endless batches, mirrored and shuffled every epoch.

    The mirror image of a shape of `shapes32` is that shape again, so labels stay right.
    """
    endless = fine_tune.Settings(parameters.ENDLESS, batch, mirror=True)
    return fine_tune.batches(data, endless, seed)
