"""Which passages judge, calibrate and train adapters; those that judge do nothing else."""

from pathlib import Path

from qlab.core import hub, paths
from qlab.core.cache import file_sha256, hash_json
from qlab.core.errors import QlabError
from qlab.language import lambada, mini_lambada
from qlab.language.lambada import Passage

# Passages per profile; 0 means all of the file.
EVALUATION = {"smoke": 100, "mini": 1000, "small": 1000, "full": 0}
CALIBRATION = {"smoke": 16, "mini": 128, "small": 128, "full": 128}
TRAINING = {"smoke": 64, "mini": 4000, "small": 2000, "full": 4000}  # for adapters
EMBEDDED = "mini_lambada"  # as the parameter 'calibration': the embedded calibration split
Chosen = tuple[str, list[Passage], list[Passage], list[Passage], list[str]]


def digest(passages: list[Passage]) -> str:
    """sha256 of the passages' texts, in order."""
    return hash_json([p.text for p in passages])


def choose(given) -> Chosen:
    """As the parameters of notebook 02 ask for it, or QlabError: name of the dataset that judges,
    passages that judge, others that calibrate, that train, and notes.

    Without `calibration`, passages of one's own are split: the first calibrate, a quarter at most
    unless asked for, and what is left beyond `limit` is there to train on.
    """
    own = bool(given.passages) or given.profile in ("small", "full")
    usual, count = CALIBRATION[given.profile], TRAINING[given.profile]
    notes, most, left = [], given.limit or EVALUATION[given.profile], []
    file = _file(given.passages) if own else None
    judging = lambada.read(file) if file else _first("", "test", most)
    if given.calibration or not own:
        held = _first(given.calibration, "calibration", given.calibration_count or usual)
    else:
        number = given.calibration_count or min(usual, len(judging) // 4)
        split = f"{len(judging)} passages cannot be split into {number} that calibrate and others"
        held = judging[:number]
        judging = _without(judging[number:], held)  # wherever they are repeated
        if not held or not judging:
            raise QlabError(f"{split}; give more, or set calibration=mini_lambada.")
        told = f"the first {len(held)} passages calibrate, {len(judging)} others are there"
        notes.append(f"No calibration passages given: {told} to evaluate.")
    if most and len(judging) > most:
        notes.append(f"The first {most} of these {len(judging)} passages evaluate.")
        judging, left = judging[:most], judging[most:]
    if given.training or not own:
        taught = _first(given.training, "train", count)
    else:
        taught = _without(left, [*judging, *held])[:count]
        notes += [f"{len(taught)} of those left are there to train adapters on."] * bool(taught)
    _refuse_overlap("calibration", held, judging)
    _refuse_overlap("training", taught, judging)
    dataset = file.stem if file else EMBEDDED
    if file and file_sha256(file) == hub.LAMBADA_SHA256:
        dataset = "lambada_openai"  # whatever the file is called
    return dataset, judging, held, taught, notes


def _file(named: str) -> Path:
    """The passages of one's own that judge, else LAMBADA, from QLAB_DATA if it is there."""
    file = (paths.real_data() or Path("none")) / "lambada" / "lambada_test.jsonl"
    return Path(named).expanduser() if named else file if file.is_file() else hub.lambada()


def _first(named: str, split: str, count: int) -> list[Passage]:
    """The first passages of a file given by its path, or of an embedded split."""
    if named in ("", EMBEDDED):
        return [lambada.split(text, EMBEDDED) for text in mini_lambada.texts(split, count)]
    return lambada.read(Path(named).expanduser())[:count]


def _refuse_overlap(role: str, held: list[Passage], judging: list[Passage]) -> None:
    alone = {p.text for p in _without(held, judging)}
    if both := [p.text for p in held if p.text not in alone]:
        raise QlabError(
            f"{len(both)} of {len(held)} {role} passages are among the evaluated ones too, first "
            f"'... {' '.join(both[0].split())[-40:]}'; give others, or none to have some held out."
        )


def _without(some: list[Passage], others: list[Passage]) -> list[Passage]:
    """Passages that are not among the others, whatever their spaces and line ends."""
    seen = {tuple(p.text.split()) for p in others}
    return [p for p in some if tuple(p.text.split()) not in seen]
