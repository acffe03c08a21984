"""Sentences and images on the same rails: parts, hashes, corruptions, and what is refused."""

import hashlib

import numpy as np
import pytest

from qlab.classifier import model_inputs, token_robustness
from qlab.classifier.labelled_tokens import LabelledTokens
from qlab.classifier.model_inputs import TOKENS
from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages

MASK = np.int32([[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]])
IDS = np.int32(
    [[2, 11, 12, 13, 14, 15, 16, 3], [2, 21, 22, 23, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0, 0]]
)
SENTENCES = {TOKENS[0]: IDS, TOKENS[1]: MASK, TOKENS[2]: np.zeros_like(IDS)}
WHOLE = LabelledTokens(SENTENCES, np.array([0, 1, 1]), ("0", "1"), unknown=1)
IMAGES = LabelledImages(
    np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3), np.array([0, 1, 1]), ("a", "b")
)


@pytest.mark.parametrize("whole", [WHOLE, IMAGES])
def test_parts_keep_examples_and_labels_together(whole):
    part = whole.part(1, 3)
    assert len(part) == 2 and part.labels.tolist() == [1, 1] and part.classes == whole.classes
    for found, all_ in zip(
        *(model_inputs.arrays(x.inputs).values() for x in (part, whole)), strict=True
    ):
        assert (found == all_[1:]).all()
    left = whole.without(whole.first(1))
    assert left.sha256 == part.sha256 != whole.sha256


def test_the_hash_of_images_is_what_records_were_made_with():
    content = IMAGES.images.tobytes() + IMAGES.labels.tobytes()
    assert IMAGES.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("inputs", [SENTENCES, IMAGES.images])
def test_batches_put_together_are_the_whole(inputs):
    parts = [model_inputs.arrays(p) for p in model_inputs.batches(inputs, 2)]
    assert [model_inputs.count(model_inputs.from_arrays(p)) for p in parts] == [2, 1]
    for name, whole in model_inputs.arrays(inputs).items():
        assert (np.concatenate([p[name] for p in parts]) == whole).all()


def test_models_and_files_are_fed_images_as_float_and_tokens_by_name():
    assert model_inputs.fed(IMAGES.images).dtype == np.float32
    assert model_inputs.fed(SENTENCES)["input_ids"].dtype == np.int32
    [first, *_] = model_inputs.samples(IMAGES.images, ["image"])
    assert first["image"].shape == (1, 4, 4, 3) and first["image"].dtype == np.float32
    assert model_inputs.samples(SENTENCES, TOKENS)[1]["input_ids"].tolist() == [IDS[1].tolist()]


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        ({}, "each int32"),
        ({TOKENS[0]: IDS}, r"these are input_ids int32 \[3, 8\]"),
        (SENTENCES | {"input_ids": IDS.astype(np.int64)}, r"these are input_ids int64 \[3, 8\]"),
        ({n: v.astype(np.int64) for n, v in SENTENCES.items()}, r"these are input_ids int64"),
        (SENTENCES | {"input_ids": IDS[:, :4]}, r"input_ids int32 \[3, 4\], attention"),
    ],
)
def test_tokens_that_do_not_fit_are_named(tokens, sentence):
    with pytest.raises(QlabError, match=sentence):
        LabelledTokens(tokens, WHOLE.labels, WHOLE.classes, 1)


def test_labels_that_do_not_fit_are_named():
    with pytest.raises(QlabError, match="Sentence 2 has the label 2; with 2 classes .* 0 to 1"):
        LabelledTokens(SENTENCES, np.array([0, 1, 2]), ("0", "1"), 1)
    with pytest.raises(QlabError, match="3 sentences need as many int64 labels"):
        LabelledTokens(SENTENCES, np.array([0, 1]), ("0", "1"), 1)
    with pytest.raises(QlabError, match="Sentences 0 up to 4 were asked for, of 3"):
        WHOLE.first(4)


def test_corruptions_leave_ends_padding_and_the_original_alone():
    before = IDS.copy()
    found = dict(WHOLE.corrupted_sets())
    assert list(found) == token_robustness.names() == [
        "unknown1", "unknown2", "unknown3", "swapped1", "swapped2", "swapped3",
    ]  # fmt: skip
    for name, tokens in found.items():
        ids = tokens["input_ids"]
        words = np.flatnonzero((ids != before).any(0))
        assert set(words) <= set(range(1, 7)) and (ids[2] == before[2]).all()
        assert (tokens["attention_mask"] == MASK).all()
        if name.startswith("swapped"):
            assert (np.sort(ids, 1) == np.sort(before, 1)).all()
        else:
            assert set(ids[ids != before]) <= {1}
    hits = [(found[f"unknown{s}"]["input_ids"] == 1).sum() for s in (1, 2, 3)]
    assert hits == sorted(hits) and hits[2] > 0 and (before == IDS).all()
    assert (found["swapped3"]["input_ids"] != before).any()
    with pytest.raises(QlabError, match="no corruption 'noise1'; there are unknown1"):
        token_robustness.corrupted(SENTENCES, "noise1", 1)


def test_more_strength_hits_the_share_it_says():
    ids = np.full((200, 52), 9, np.int32)
    tokens = dict.fromkeys(TOKENS, np.ones_like(ids)) | {"input_ids": ids}
    for strength, share in enumerate(token_robustness.SHARES, 1):
        hit = token_robustness.corrupted(tokens, f"unknown{strength}", 1)["input_ids"][:, 1:-1] == 1
        assert hit.mean() == pytest.approx(share, abs=0.01)
