"""Passages are read, split and tokenized as lm-evaluation-harness does it; mini_lambada."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from qlab.core.errors import QlabError
from qlab.language import lambada

TEXTS = [
    "Ann gave the red ball to Tom and went home. Later she asked for the ball",
    'the night was dark.\n\n"Who is there?" asked  Tom',
    "she looked at him  and said \t name",
    "<s> a passage that spells its own beginning",
    "words of other alphabets: été, Straße, 日本",
]


def tokenizer(bos: bool = True, spaces: bool = False) -> PreTrainedTokenizerFast:
    """BPE of Llama 2's kind; `spaces` lets a token hold several words."""
    raw = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    words = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=words, show_progress=False)
    corpus = TEXTS[:3] * 20 if spaces else [w for t in TEXTS[:3] * 20 for w in t.split()]
    raw.train_from_iterator(corpus, trainer)
    if bos:
        single = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        raw.post_processor = single
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def harness_pair(text: str, tokenizer) -> tuple[list[int], list[int]]:
    """lm-evaluation-harness 0.4.13: the task's templates, TemplateLM._encode_pair, tok_encode."""

    def tok_encode(string: str) -> list[int]:
        if string.startswith(tokenizer.decode(tokenizer.bos_token_id)):
            return tokenizer.encode(string, add_special_tokens=False)
        return tokenizer.encode(string)

    context = " ".join(text.split(" ")[:-1])
    continuation = " " + text.split(" ")[-1]
    spaces = len(context) - len(context.rstrip())
    if spaces > 0:
        continuation = context[-spaces:] + continuation
        context = context[:-spaces]
    whole, beginning = tok_encode(context + continuation), tok_encode(context)
    return beginning, whole[len(beginning) :]


def read(folder, *lines: str):
    (folder / "test.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return lambada.read(folder / "test.jsonl")


def test_a_file_is_read_and_split_at_the_last_space(tmp_path):
    found = read(tmp_path, *(json.dumps({"text": t, "id": 1}) for t in TEXTS), "", "")
    assert [p.text for p in found] == TEXTS
    assert all(f"{p.context} {p.word}" == p.text for p in found)
    assert [p.word for p in found] == ["ball", "Tom", "name", "beginning", "日本"]
    assert found[1].context.endswith("asked ")  # of two spaces the last is the word's


@pytest.mark.parametrize("bos", [True, False])
def test_tokens_are_the_harness_tokens(bos):
    chosen = tokenizer(bos)
    encoded = lambada.encode([lambada.split(text, "") for text in TEXTS], chosen, 1000)
    for text, found in zip(TEXTS, encoded, strict=True):
        context, word = harness_pair(text, chosen)
        assert found == (context + word, len(word), 0)
        assert (found.tokens[0] == 1) == (bos or text.startswith("<s>"))
        assert found.tokens[1] != 1


def test_a_long_passage_loses_its_beginning_and_is_counted():
    passages = [lambada.split(t, "") for t in TEXTS[:3]]
    whole = lambada.encode(passages, tokenizer(), 1000)
    sizes = [len(e.tokens) for e in whole]
    limit = max(sizes) - 1  # what the model reads: all but the last
    longest = sizes.index(max(sizes))
    assert lambada.encode(passages, tokenizer(), limit) == whole
    cut = lambada.encode(passages, tokenizer(), limit - 3)
    assert cut[longest] == (whole[longest].tokens[3:], whole[longest].targets, 3)
    assert [sum(e.dropped > 0 for e in some) for some in (whole, cut)] == [0, 1]


def test_a_byte_order_mark_windows_line_ends_and_white_space_after_the_word(tmp_path, caplog):
    ends = (" ", "\n", " \r\n", "\u00a0", "")
    lines = "".join(json.dumps({"text": f"they read the signs{end}"}) + "\r\n" for end in ends)
    (tmp_path / "w.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    found = lambada.read(tmp_path / "w.jsonl")
    assert len(found) == 5 and set(found) == {lambada.split("they read the signs", "")}
    assert "4 passages of" in caplog.text and "white space, which was taken off" in caplog.text


@pytest.mark.parametrize("line", ['{"text": "a b"', '{"text": 7}', '["a b"]', '{"text": "alone"}'])
def test_a_line_that_is_no_passage_is_named(tmp_path, line):
    wrong = "a passage needs a context, a space and" if "alone" in line else "expected .*Error"
    with pytest.raises(QlabError, match=f"line 2: {wrong}"):
        read(tmp_path, '{"text": "a b"}', line)


def test_a_word_that_the_tokenizer_merges_with_its_context_is_refused():
    chosen = tokenizer(spaces=True)
    passage = lambada.split(TEXTS[0], "")
    assert len(harness_pair(TEXTS[0], chosen)[1]) == 0
    with pytest.raises(QlabError, match="last word of passage 1 .* has 0 tokens of its own"):
        lambada.encode([passage], chosen, 100)


@pytest.mark.real_data
def test_all_of_lambada_is_tokenized_as_the_harness_does(real_data):
    from qlab.language import decoder

    chosen = decoder.load_tokenizer(real_data / "llm" / "stories260K-pad192")
    passages = lambada.read(real_data / "lambada" / "lambada_test.jsonl")
    assert len(passages) == 5153
    found = lambada.encode(passages, chosen, 100_000)
    for passage, encoded in zip(passages[::7], found[::7], strict=True):
        context, word = harness_pair(passage.text, chosen)
        assert encoded == (context + word, len(word), 0)
    assert not any(e.dropped for e in lambada.encode(passages, chosen, 512))


def test_the_last_sentence_keeps_its_word():
    for text, expected in {
        "She left. Then he called for Ann": "Then he called for Ann",
        'He said: "Stop." Then he saw Ann': "Then he saw Ann",
        "Was it he? No! Ann": "No! Ann",
        "no sentence ends before Ann": "no sentence ends before Ann",
    }.items():
        found = lambada.last_sentence(lambada.split(text, "here"))
        assert (found.text, found.word) == (expected, "Ann")
        assert found.text == f"{found.context} {found.word}"


def test_embedded_splits_share_no_passage_and_their_last_word_was_told_but_not_next_door():
    """Named in an earlier sentence; the last two tell nothing about it but the question."""
    counts = {"train": 4000, "calibration": 256, "test": 2000}
    found = {part: [p.text for p in lambada.first(9999, part)] for part in counts}
    assert {part: len(set(texts)) for part, texts in found.items()} == counts
    assert len(set().union(*found.values())) == sum(counts.values())
    for text in found["test"][:500]:
        *told, aside, last = text.split(". ")
        word = last.rsplit(" ", 1)[1]
        assert any(word in sentence.split() for sentence in told), text
        assert word not in aside.split() and word not in last.rsplit(" ", 1)[0].split(), text
