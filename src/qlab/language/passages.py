"""Which passages judge, calibrate and train adapters; those that judge do nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qlab.core import hub, paths
from qlab.core.cache import file_sha256, hash_json
from qlab.core.errors import QlabError
from qlab.language import embedded, lambada, mini_lambada
from qlab.language.lambada import Passage

if TYPE_CHECKING:
    from qlab.language.data import Parameters

# Passages per profile; 0 means all of the file.
EVALUATION = {"smoke": 100, "mini": mini_lambada.COUNTS["test"], "small": 1000, "full": 0}
CALIBRATION = {"smoke": 16, "mini": 128, "small": 128, "full": 128}  # passages per profile
TRAINING = {
    "smoke": 64,
    "mini": 4000,
    "small": 2000,
    "full": 4000,
}  # for adapters
REAL = ("small", "full")  # profiles on real data
EMBEDDED = "mini_lambada"  # as the parameter 'calibration': the embedded calibration split


class Chosen(NamedTuple):
    """Passages by what they are for."""

    dataset: str  # name of what judges, in the records
    judging: list[Passage]  # in the order of the file
    calibrating: list[Passage]  # none of them judges
    teaching: list[Passage]  # may be none
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
    usual = CALIBRATION[given.profile]
    file = _evaluation_file(given.profile, given.passages, most)
    judging = lambada.read(file)
    if given.calibration or not own:
        count = given.calibration_count or usual
        held = lambada.read(_file(given.calibration, "calibration", count))[:count]
    else:
        judging, held = _held_out(judging, given.calibration_count, usual)
        notes.append(
            f"No calibration passages given: the first {len(held)} passages calibrate, "
            f"{len(judging)} others are there to evaluate."
        )
    left: list[Passage] = []
    if most and len(judging) > most:
        notes.append(f"The first {most} of these {len(judging)} passages evaluate.")
        judging, left = judging[:most], judging[most:]
    count = TRAINING[given.profile]
    known = {_plain(p) for p in [*judging, *held]}
    taught = [p for p in left if own and _plain(p) not in known][:count]
    if taught and not given.training:
        notes.append(f"{len(taught)} of those that are left are there to train adapters on.")
    if given.training or not own:
        taught = lambada.read(_file(given.training, "train", count))[:count]
    _refuse_overlap("calibration", held, judging)
    _refuse_overlap("training", taught, judging)
    return Chosen(_dataset_name(file) if own else EMBEDDED, judging, held, taught, notes)


def _evaluation_file(profile: str, passages: str, count: int) -> Path:
    """The passages that judge: given, embedded, or LAMBADA (from QLAB_DATA if there)."""
    if passages:
        return Path(passages).expanduser()
    if profile not in REAL:
        return embedded.mini_lambada_file("test", count)
    file = (paths.real_data() or Path()) / "lambada" / "lambada_test.jsonl"
    return file if paths.real_data() and file.is_file() else hub.lambada()


def _file(given: str, split: str, count: int) -> Path:
    """A file given by its path, or the first passages of an embedded split."""
    if given in ("", EMBEDDED):
        return embedded.mini_lambada_file(split, count)
    return Path(given).expanduser()


def _dataset_name(file: Path) -> str:
    """`lambada_openai` for the published file, whatever it is called, else the file's name."""
    published = file.is_file() and file_sha256(file) == hub.LAMBADA_SHA256
    return "lambada_openai" if published else file.stem


def _held_out(found: list[Passage], asked: int, usual: int) -> tuple[list[Passage], list[Passage]]:
    """(to evaluate, to calibrate on): the first ones, wherever they are repeated, calibrate only.

    Unless a number was asked for, at least three quarters stay for evaluation.
    """
    count = asked or min(usual, len(found) // 4)
    held = found[:count]
    seen = {_plain(p) for p in held}
    rest = [p for p in found[count:] if _plain(p) not in seen]
    if not held or not rest:
        raise QlabError(
            f"{len(found)} passages cannot be split into {count} that calibrate and others that "
            "evaluate; give more, or others to calibrate on (calibration=mini_lambada)."
        )
    return rest, held


def _plain(passage: Passage) -> str:
    """A passage's text whatever its spaces and line ends."""
    return " ".join(passage.text.split())


def _refuse_overlap(role: str, held: list[Passage], evaluation: list[Passage]) -> None:
    """Passages that calibrate or train never evaluate, however their spaces differ."""
    seen = {_plain(p) for p in evaluation}
    both = [p for p in held if _plain(p) in seen]
    if both:
        raise QlabError(
            f"{len(both)} of {len(held)} {role} passages are among the evaluated ones "
            f"too, first '... {_plain(both[0])[-40:]}'; give others, or none to have some held out."
        )
