"""A model and sentences come as given and apart, or what is wrong is said in a sentence."""

import pytest
import torch
from transformer_world import PAIRS, bert, save, sst2
from transformers import AutoModel, DistilBertConfig, GPT2Config, RobertaConfig

from qlab.core.errors import QlabError
from qlab.transformer import sentences
from qlab.transformer.data import Parameters, prepare

MORE = [("very very good", 1), ("not bad", 1), ("bad bad", 0)]


def given(model, data, **more):
    return Parameters(profile="full", model=str(model), data=str(data), **more)


def test_sentences_that_judge_do_not_train_which_is_told(tmp_path):
    data = sst2(tmp_path / "d", PAIRS + MORE, MORE[:2])
    task = prepare(given(save(tmp_path / "m"), data, steps=7))
    assert (task.model, task.dataset, task.class_count) == ("m", "d", 2)
    assert (task.steps, task.rate) == (7, 1e-4)
    assert (len(task.train.labels), task.test.labels.tolist()) == (len(PAIRS) + 1, [1, 1])
    assert task.notes == ["2 training sentences judge too and were left out."]
    assert not task.headless and task.place.startswith("full-m-")


def test_batches_are_of_like_length_and_padding_changes_no_answer(tmp_path):
    task = prepare(given(save(tmp_path / "m"), sst2(tmp_path / "d", PAIRS, MORE)))
    model, rows = task.load(), task.train.alike(2)
    lengths = [task.train.inputs["attention_mask"][r].sum(1).tolist() for r in rows]
    assert sum(lengths, []) == sorted(sum(lengths, [])) and len(torch.cat(rows)) == len(PAIRS)
    with torch.no_grad():
        whole = model(**task.train.batch(torch.arange(len(PAIRS)))).logits
        alone = torch.cat([model(**task.train.batch(torch.tensor([i]))).logits for i in range(5)])
    torch.testing.assert_close(whole, alone)
    assert task.train.batch(torch.tensor([0]))["labels"].tolist() == [1]


def test_a_model_without_a_classifier_is_told_and_its_head_drawn_from_the_seed(tmp_path):
    folder = save(tmp_path / "m", kind=AutoModel)
    tasks = [prepare(given(folder, sst2(tmp_path / "d", PAIRS, MORE), seed=s)) for s in (1, 1, 2)]
    assert all(t.headless and "m has no classifier" in t.notes[-1] for t in tasks)
    one, same, other = (t.load().classifier.weight for t in tasks)
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("config", [RobertaConfig, DistilBertConfig])
def test_other_encoders_are_taken(tmp_path, config):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    folder = save(tmp_path / "m", config(vocab_size=10, pad_token_id=0, **sizes))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizerFast"}')
    assert prepare(given(folder, sst2(tmp_path / "d", PAIRS, MORE))).class_count == 2


def test_a_limit_and_quotation_marks(tmp_path):
    dev = [('" good', 1), ("bad", 0), ("food", 1)]
    task = prepare(given(save(tmp_path / "m"), sst2(tmp_path / "d", PAIRS, dev), limit=2))
    assert task.test.labels.tolist() == [1, 0]
    assert sentences.read(tmp_path / "d" / "dev.tsv")[0] == ('" good', 1)


def tsv(lines: str):
    """What writes these lines to train.tsv of a folder."""
    return lambda folder: (folder / "d" / "train.tsv").write_text(lines)


GPT2 = GPT2Config(vocab_size=10, n_embd=8, n_layer=2, n_head=2)
WRONG = [
    (lambda f: (f / "m" / "config.json").unlink(), "There is no config.json in .*m; the parameter"),
    (lambda f: save(f / "m", GPT2), "GPT2ForSequenceClassification in .* has no stack of linear"),
    (lambda f: save(f / "m", bert(num_labels=3)), "answers with 3 classes; d has 2 to train"),
    (lambda f: sst2(f / "d", PAIRS, [("good", 2)]), "d has 2 to train, and no others may judge"),
    (lambda f: (f / "d" / "train.tsv").unlink(), "train.tsv: expected .*<TAB>label' .* nothing"),
    (tsv("text\tlabel\na\t1"), r"train.tsv: expected the line .* found \['text"),
    (tsv("sentence\tlabel\n"), "train.tsv: expected the line .* and sentences below it"),
    (tsv("sentence\tlabel\ngood\t1\nbad\n"), "line 3: expected a sentence, a tab .* found 'bad'"),
    (tsv("sentence\tlabel\ngood\t-1\n"), "line 2: .* label from 0 on"),
]


@pytest.mark.parametrize(("spoil", "words"), WRONG)
def test_what_is_wrong_gets_a_sentence(tmp_path, spoil, words):
    model, data = save(tmp_path / "m"), sst2(tmp_path / "d")
    spoil(tmp_path)
    with pytest.raises(QlabError, match=words) as caught:
        prepare(given(model, data))
    assert "\n" not in str(caught.value)
