"""Passages are read, split and tokenized as lm-evaluation-harness does it; mini_lambada."""

import json

import pytest
from tokenizers import SentencePieceBPETokenizer, pre_tokenizers, processors
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
    raw, names = SentencePieceBPETokenizer(fuse_unk=True), ["<unk>", "<s>", "</s>"]
    raw.pre_tokenizer = pre_tokenizers.Metaspace(split=not spaces)
    raw.train_from_iterator(TEXTS[:3] * 20, 500, special_tokens=names, show_progress=False)
    if bos:
        raw.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    ends = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw._tokenizer, **ends)


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
    passages = [lambada.split(text, "") for text in TEXTS[:3]]
    first, *others = lambada.encode(passages, tokenizer(), 1000)  # the first is the longest
    for limit, dropped in ((len(first.tokens) - 1, 0), (len(first.tokens) - 4, 3)):
        found = lambada.encode(passages, tokenizer(), limit)  # a model reads all but the last
        assert found == [(first.tokens[dropped:], first.targets, dropped), *others]


def test_a_byte_order_mark_windows_line_ends_and_white_space_after_the_word(tmp_path, caplog):
    ends = (" ", "\n", " \r\n", "\u00a0", "")
    lines = "".join(json.dumps({"text": f"they read the signs{end}"}) + "\r\n" for end in ends)
    (tmp_path / "w.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\r\n\r\n")
    found = lambada.read(tmp_path / "w.jsonl")
    assert len(found) == 5 and set(found) == {lambada.split("they read the signs", "")}
    assert "4 passages of" in caplog.text and "white space, which was taken off" in caplog.text


@pytest.mark.parametrize("line", ['{"text": "a b"', '{"text": 7}', '["a b"]', '{"text": "alone"}'])
def test_a_line_that_is_no_passage_is_named(tmp_path, line):
    wrong = "a passage needs a context, a space and" if "alone" in line else "expected .*Error"
    (tmp_path / "w.jsonl").write_text(f'{{"text": "a b"}}\n{line}')
    with pytest.raises(QlabError, match=f"line 2: {wrong}"):
        lambada.read(tmp_path / "w.jsonl")


def test_a_word_that_the_tokenizer_merges_with_its_context_is_refused():
    chosen = tokenizer(spaces=True)
    passage = lambada.split(TEXTS[0], "")
    assert len(harness_pair(TEXTS[0], chosen)[1]) == 0
    with pytest.raises(QlabError, match="last word of passage 1 .* has 0 tokens of its own"):
        lambada.encode([passage], chosen, 100)


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
