"""A kept model is one that `embedded` accepts; weights and card change together or not at all."""

import json

import pytest

from qlab.core import embedded, paths
from qlab.core.errors import QlabError


def writer(content: bytes):
    return lambda made: (made / "weights.h5").write_bytes(content)


def test_a_kept_model_is_found_by_its_hash_and_a_changed_one_refused(empty_home):
    folder = paths.models() / "toy"
    card = embedded.keep(folder, writer(b"one"), {"seed": 3})
    assert embedded.model_folder("toy") == folder
    assert json.loads((folder / "card.json").read_text()) == card
    (folder / "weights.h5").write_bytes(b"two")
    with pytest.raises(QlabError, match="does not match its card"):
        embedded.model_folder("toy")
    embedded.keep(folder, writer(b"two"), {"seed": 4})
    assert embedded.model_folder("toy") == folder
