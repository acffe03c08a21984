"""Kill `make figures` at random moments, and see that the next run ends as if nothing had been.

    python tests/faults/kill_figures.py [--profile smoke] [--kills 20] [--seed 0]

In a fresh clone, a whole run gives the reference records and the time T. In a second one, the
whole process group is killed (SIGKILL) at a moment drawn evenly from 0 to T; the next run starts at
once and goes on to its end; then the clone is made fresh again, for the next kill.

Seen to after each kill and each end: every record, figure, notebook and artefact is whole. At each
end: the deterministic records equal the reference's, and artefacts that were finished at the kill
were not made again. Exit code 0 if all of it held, else 1.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clones import clone, differences, ended, half_files, make_figures

from qlab.run.compare import load


def main() -> int:
    """Do the kills, print a line for each; 0 if nothing broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    here = Path(tempfile.mkdtemp(prefix="qlab tués "))
    log, reference, start = here / "log", clone(here / "reference"), time.monotonic()
    ended(make_figures(reference, given.profile, log), log)
    seconds, moments, defects = time.monotonic() - start, random.Random(given.seed), []
    for number in range(1, given.kills + 1):
        victim, moment = clone(here / "victim"), moments.uniform(0, seconds)
        killed(make_figures(victim, given.profile, log), log, moment)
        done, found = finished(victim), half_files(victim)
        ended(make_figures(victim, given.profile, log), log)
        again = [place for place, was in finished(victim).items() if done.get(place, was) != was]
        found += [f"{place} was made again" for place in again] + half_files(victim)
        found += differences(load(reference, given.profile), load(victim, given.profile))
        print(f"Kill {number} at {moment:.0f} of {seconds:.0f} s:", *(found or ["as if nothing"]))
        defects += found
        shutil.rmtree(victim)
    return 1 if defects else 0


def killed(process: subprocess.Popen, log: Path, moment: float) -> None:
    """Kill a run and all its processes at a moment, in seconds, unless it is through by then."""
    try:
        ended(process, log, moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finished(folder: Path) -> dict[str, int]:
    """The number that the file system gave each artefact that is whole, by its place."""
    artefacts = (folder / "build" / "artefacts").glob("*/[!.]*")
    # A half quantized model is there to go on from, and becomes the whole one.
    whole = [path for path in artefacts if ".partial" not in path.name]
    return {str(path.relative_to(folder)): path.stat().st_ino for path in whole}


if __name__ == "__main__":
    sys.exit(main())
