"""The cards in data/README.md: one for each data set and model, whole, with the right hashes."""

import json
import re

import committed
import pytest
from conftest import ROOT

from qlab.core import records
from qlab.core.cache import file_sha256
from qlab.detector import mini_coco
from qlab.files import fetch
from qlab.images import shapes32

TEXT = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
CARDS = {
    title: dict(re.findall(r"^\| ([\w ]+) \| (.+) \|$", card, re.M))
    for title, card in re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", TEXT, re.M)
}
DATA = ["what", "how made", "hash", "licence", "known biases", "use"]
MODEL = ["what", "how made", "trained on", "evaluation", "hash", "licence", "limits"]
MODEL += ["intended use"]
MODELS = sorted(p.name for p in (ROOT / "data" / "models").iterdir() if p.is_dir())
SETS = {"`mini_coco`": mini_coco, "`shapes32`": shapes32}


def hashes(title: str) -> dict[str, str]:
    """What a card's row on hashes names, with the beginning of its hash."""
    return dict(re.findall(r"`?([\w.]+)`? ([0-9a-f]{12,13})\b", CARDS[title]["hash"]))


def of_model(name: str) -> str:
    """The title of the card that a model is on."""
    return next(title for title in CARDS if f"`models/{name}`" in title)


def test_cards_are_whole():
    others = ["Six studies", "Claims", "COCO `val2017`", "`lambada_openai`", "CIFAR-10"]
    others += ["`mini_lambada`", "`mini_reviews`", "SST-2"]
    wanted = dict.fromkeys([*SETS, *others], DATA) | {of_model(name): MODEL for name in MODELS}
    assert [(t, row) for t, rows in wanted.items() for row in rows if not CARDS[t].get(row)] == []


def test_hashes_are_those_of_the_files_and_of_the_code():
    folders = {"Six studies": "evidence/*.csv", "`mini_lambada`": "mini_lambada/*"}
    for title, files in (folders | {"`mini_reviews`": "mini_reviews/*"}).items():
        found = {f.name: file_sha256(f)[:12] for f in (ROOT / "data").glob(files)}
        assert hashes(title) == found
    for title, made in SETS.items():  # which are compared with what is drawn whenever it is made
        assert hashes(title) == {s: made.DIGESTS[s][:12] for s in made.DIGESTS}
    known = {name: one["hash"].rpartition(":")[2][:12] for name, one in fetch.KNOWN.items()}
    assert [name for name, start in known.items() if start not in TEXT] == []


@pytest.mark.parametrize("name", MODELS)
def test_hash_and_score_of_a_model_are_those_of_its_files(name):
    folder, rows = ROOT / "data" / "models" / name, CARDS[of_model(name)]
    card = json.loads((folder / "card.json").read_text())
    found = file_sha256(folder / card["weights"])
    assert found == card["weights_sha256"] and found[:12] in rows["hash"]
    score = card["score"].get("ap") or card["score"].get("acc") or card["score"]["accuracy"]
    assert any(f"{score:.{n}f}"[1:] in rows["evaluation"] for n in (3, 4))


def test_intervals_are_those_of_the_records():
    for model, experiment, metric in (
        ("centernet_mini", "centernet_ptq", "ap"),
        ("resnet8_shapes32", "resnet_qat", "accuracy"),
        ("bert_mini_reviews", "transformer_qat", "accuracy"),
    ):
        float_ = {"model": model, "variant": "fp32", "condition": None}
        row = records.pick(committed.table(experiment, "mini"), metric, **float_).iloc[0]
        written = [records.interval(row, f".{digits}f").replace("0.", ".") for digits in (3, 4)]
        assert any(one in CARDS[of_model(model)]["evaluation"] for one in written), written
