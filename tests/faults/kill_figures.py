"""Kill `make figures` at random moments, and see that the next run ends as if nothing had been.

    python tests/faults/kill_figures.py [--profile smoke] [--kills 20] [--seed 0] [--chain]
In a fresh clone, a whole run gives the reference records and the time T. In a second one, the
whole process group is killed (SIGKILL) at a moment drawn evenly from 0 to T; the next run starts at
once and goes on to its end; then the clone is made fresh again, for the next kill. With --chain the
next run is killed too, at a moment drawn anew, until one is through before its moment: half the
time, and kills also hit what a killed run left.

Seen to after each kill: every record, figure, notebook and artefact is whole. At each end: the
deterministic records equal the reference's (`qlab compare`), notebooks and artefacts that were
finished at a kill are the same files as then, and no process of a killed run is left. Exit code 0
if all of it held at each kill, else 1.
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

import psutil
from clones import (
    Finished,
    clone,
    compared,
    finished,
    half_files,
    identity,
    make_figures,
    run_to_the_end,
)

from qlab.run.compare import load


def main() -> int:
    """Do the kills, print a line for each and the outcome; 0 if nothing broke."""
    given = arguments()
    here = Path(tempfile.mkdtemp(prefix="qlab tués "))
    log = here / "log"
    reference, victim = clone(here / "reference"), clone(here / "victim")
    seconds = run_to_the_end(reference, given.profile, log)
    say(f"A whole run ({given.profile}) takes {seconds:.0f} s.")
    moments = random.Random(given.seed)
    defects, kills, ends, kept, resuming = [], 0, 0, {}, False
    while kills < given.kills or resuming:
        moment = moments.uniform(0, seconds) if kills < given.kills else None
        start = time.monotonic()
        ended = killed_at(victim, given.profile, log, moment)
        if ended and not resuming:  # the machine is faster than it was: draw from what it takes now
            seconds = time.monotonic() - start
        if not ended:
            kills, resuming = kills + 1, True
            done = finished(victim, given.profile)
            kept = done | kept  # as it was when it was first seen finished
            defects += told(f"kill {kills} at {moment:.0f} s", half_files(victim))
            say(f"Kill {kills} at {moment:.0f} s: {summary(done)} finished.")
            if given.chain:
                continue
            killed_at(victim, given.profile, log, None)
        ends += 1
        defects += told(f"end {ends}", at_the_end(victim, reference, given.profile, kept))
        left = len(list(victim.rglob(".part-*")))
        say(f"End {ends}: {len(defects)} defects so far, {left} folders of killed writers left.")
        kept, resuming = {}, False
        shutil.rmtree(victim)
        clone(victim)
    say(f"{kills} kills, {ends} runs to the end: {len(defects)} defects.")
    if not defects:
        shutil.rmtree(here)
    return 1 if defects else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chain", action="store_true", help="kill the next run too")
    return parser.parse_args()


def killed_at(folder: Path, profile: str, log: Path, moment: float | None) -> bool:
    """Run `make figures`; True if it came to its end, False if it was killed at the moment (s)."""
    process = make_figures(folder, profile, log)
    try:
        code = process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    if code != 0:
        raise SystemExit(f"make figures failed in {folder}:\n{log.read_text()[-3000:]}")
    return True


def at_the_end(victim: Path, reference: Path, profile: str, kept: Finished) -> list[str]:
    """What is wrong with a clone in which a run came to its end after kills."""
    again = [path for path, was in kept.items() if not path.exists() or identity(path) != was]
    found = [f"{path.relative_to(victim)} was finished and made again" for path in again]
    found += half_files(victim)
    passed, words = compared(load(reference, profile), load(victim, profile))
    found += [] if passed else [words]
    return found + [f"still running: {name}" for name in running_in(victim)]


def running_in(folder: Path, seconds: float = 30) -> list[str]:
    """Processes that work in the folder, and do not end of themselves meanwhile."""
    end = time.monotonic() + seconds
    while True:
        found = [
            " ".join(process.info["cmdline"] or [])
            for process in psutil.process_iter(["cwd", "cmdline"])
            if Path(process.info["cwd"] or "/").is_relative_to(folder)
        ]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def summary(done: Finished) -> str:
    notebooks = sum(path.suffix == ".ipynb" for path in done)
    return f"{notebooks} notebooks and {len(done) - notebooks} artefacts were"


def told(when: str, defects: list[str]) -> list[str]:
    found = [f"{when}: {defect}" for defect in defects]
    for one in found:
        say(one)
    return found


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
