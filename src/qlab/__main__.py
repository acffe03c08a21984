"""`python -m qlab`."""

import sys

from qlab.run.cli import main

sys.exit(main())
