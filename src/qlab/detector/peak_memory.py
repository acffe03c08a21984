"""Peak resident bytes of one detection: `python -m qlab.detector.peak_memory FILE THREADS`."""

import sys
from pathlib import Path

import numpy as np

from qlab.core.timing import print_peak_memory
from qlab.detector.detect import Detector

if __name__ == "__main__":
    detector = Detector(Path(sys.argv[1]), int(sys.argv[2]))
    detector(np.zeros((*detector.size, 3), np.uint8))
    print_peak_memory()
