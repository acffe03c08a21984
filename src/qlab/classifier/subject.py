"""What the parameters of notebook 03 name: a classifier's file and the examples that go with it."""

import logging
from pathlib import Path
from typing import NamedTuple

from qlab.classifier.labelled_examples import LabelledExamples

log = logging.getLogger(__name__)
CALIBRATION = 256  # examples at most that are split off where a data set has none of its own


class Subject(NamedTuple):
    """A classifier and its data; no example is in two of the three sets."""

    name: str  # the model's, in the records
    file: Path  # Keras 2 h5, or SavedModel folder
    dataset: str  # its name in the records
    train: LabelledExamples  # fine-tunes
    calibration: LabelledExamples  # sets the ranges of activations
    test: LabelledExamples  # judges
    notes: tuple[str, ...] = ()  # sentences to tell the reader


Split = tuple[LabelledExamples, LabelledExamples, LabelledExamples]


def split(train: LabelledExamples, test: LabelledExamples) -> Split:
    """Training, calibration and test examples where a data set has no calibration ones.

    They are the last of the training ones, a quarter at most, which then do not train. Training
    examples that are test examples too are left out, which is logged.
    """
    kept = train.without(test)
    if lost := len(train) - len(kept):
        log.warning(
            "%d training %ss are test %ss too and were left out.", lost, test.noun, test.noun
        )
    cut = len(kept) - min(CALIBRATION, len(kept) // 4)
    return kept.part(0, cut), kept.part(cut, len(kept)), test
