"""Peak resident bytes of one detection: `python -m qlab.peak_memory FILE THREADS`."""

import sys
from pathlib import Path

import numpy as np

from qlab.detectors import Detector
from qlab.timing import print_peak_memory

if __name__ == "__main__":
    detector = Detector(Path(sys.argv[1]), int(sys.argv[2]))
    detector(np.zeros((detector.size, detector.size, 3), np.uint8))
    print_peak_memory()
