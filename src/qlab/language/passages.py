"""Which passages judge, calibrate and train adapters; those that judge do nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qlab.core import hub, paths
from qlab.core.cache import file_sha256, hash_json
from qlab.core.errors import QlabError
from qlab.language import lambada, mini_lambada
from qlab.language.lambada import Passage

if TYPE_CHECKING:
    from qlab.language.data import Parameters

# Passages per profile; 0 means all of the file.
EVALUATION = {"smoke": 100, "mini": mini_lambada.COUNTS["test"], "small": 1000, "full": 0}
CALIBRATION = {"smoke": 16, "mini": 128, "small": 128, "full": 128}
TRAINING = {"smoke": 64, "mini": 4000, "small": 2000, "full": 4000}  # for adapters
REAL = ("small", "full")  # profiles on real data
EMBEDDED = "mini_lambada"  # as the parameter 'calibration': the embedded calibration split


class Chosen(NamedTuple):
    """Passages by what they are for."""

    dataset: str  # name of what judges, in the records
    passages: list[Passage]  # that judge, in the order of the file
    calibration: list[Passage]  # none of them judges
    training: list[Passage]  # may be none
    notes: list[str]  # what there is to tell about the choice


def digest(passages: list[Passage]) -> str:
    """sha256 of the passages' texts, in order."""
    return hash_json([p.text for p in passages])


def choose(given: "Parameters") -> Chosen:
    """Passages as the parameters ask for them, or QlabError.

    Without `calibration`, passages of one's own are split: the first `calibration_count` (a quarter
    at most unless asked for) calibrate and are not evaluated, and what is left beyond `limit` is
    there to train on.
    """
    own = bool(given.passages) or given.profile in REAL
    notes, most = [], given.limit or EVALUATION[given.profile]
    usual, count = CALIBRATION[given.profile], TRAINING[given.profile]
    file = _evaluation_file(given, most)
    judging = lambada.read(file)
    if given.calibration or not own:
        held = _first(given.calibration, "calibration", given.calibration_count or usual)
    else:
        held, judging = _held_out(judging, given.calibration_count, usual)
        notes.append(
            f"No calibration passages given: the first {len(held)} passages calibrate, "
            f"{len(judging)} others are there to evaluate."
        )
    left: list[Passage] = []
    if most and len(judging) > most:
        notes.append(f"The first {most} of these {len(judging)} passages evaluate.")
        judging, left = judging[:most], judging[most:]
    if given.training or not own:
        taught = _first(given.training, "train", count)
    else:
        known = set(map(_plain, [*judging, *held]))
        taught = [p for p in left if _plain(p) not in known][:count]
        notes += [f"{len(taught)} of those left are there to train adapters on."] * bool(taught)
    _refuse_overlap("calibration", held, judging)
    _refuse_overlap("training", taught, judging)
    dataset = file.stem if own else EMBEDDED
    if own and file_sha256(file) == hub.LAMBADA_SHA256:
        dataset = "lambada_openai"  # whatever the file is called
    return Chosen(dataset, judging, held, taught, notes)


def _evaluation_file(given: "Parameters", count: int) -> Path:
    """The passages that judge: given, embedded, or LAMBADA (from QLAB_DATA if there)."""
    if given.passages:
        return Path(given.passages).expanduser()
    if given.profile not in REAL:
        return mini_lambada.file("test", count)
    file = (paths.real_data() or Path("none")) / "lambada" / "lambada_test.jsonl"
    return file if file.is_file() else hub.lambada()


def _first(named: str, split: str, count: int) -> list[Passage]:
    """The first passages of a file given by its path, or of an embedded split."""
    embedded = named in ("", EMBEDDED)
    file = mini_lambada.file(split, count) if embedded else Path(named).expanduser()
    return lambada.read(file)[:count]


def _held_out(found: list[Passage], asked: int, usual: int) -> tuple[list[Passage], list[Passage]]:
    """(to calibrate on, to evaluate): the first ones, wherever they are repeated, calibrate only.

    Unless a number was asked for, at least three quarters stay for evaluation.
    """
    count = asked or min(usual, len(found) // 4)
    held = found[:count]
    seen = set(map(_plain, held))
    rest = [p for p in found[count:] if _plain(p) not in seen]
    if not held or not rest:
        raise QlabError(
            f"{len(found)} passages cannot be split into {count} that calibrate and others that "
            "evaluate; give more, or others to calibrate on (calibration=mini_lambada)."
        )
    return held, rest


def _plain(passage: Passage) -> str:
    """A passage's text whatever its spaces and line ends."""
    return " ".join(passage.text.split())


def _refuse_overlap(role: str, held: list[Passage], evaluation: list[Passage]) -> None:
    """Passages that calibrate or train never evaluate, however their spaces differ."""
    seen = set(map(_plain, evaluation))
    both = [p for p in held if _plain(p) in seen]
    if both:
        raise QlabError(
            f"{len(both)} of {len(held)} {role} passages are among the evaluated ones "
            f"too, first '... {_plain(both[0])[-40:]}'; give others, or none to have some held out."
        )
