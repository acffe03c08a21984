"""A model and sentences come as given and apart; what is wrong gets a sentence."""

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
    sizes = {"vocab_size": 10, "hidden_size": 8, "intermediate_size": 32, "pad_token_id": 0}
    if config is DistilBertConfig:
        sizes = {"vocab_size": 10, "dim": 8, "hidden_dim": 32, "n_heads": 2, "n_layers": 2}
    else:
        sizes |= {"num_hidden_layers": 2, "num_attention_heads": 2}
    folder = save(tmp_path / "m", config(**sizes))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizerFast"}')
    assert prepare(given(folder, sst2(tmp_path / "d", PAIRS, MORE))).class_count == 2


def test_a_limit_and_quotation_marks(tmp_path):
    dev = [('" good', 1), ("bad", 0), ("food", 1)]
    task = prepare(given(save(tmp_path / "m"), sst2(tmp_path / "d", PAIRS, dev), limit=2))
    assert task.test.labels.tolist() == [1, 0]
    assert sentences.read(tmp_path / "d" / "dev.tsv")[0] == ('" good', 1)


WRONG = {
    "no config.json": ("There is no config.json in .*nothing; the parameter 'model' takes", None),
    "no linear layers": ("GPT2ForSequenceClassification in .* has no stack of linear layers", None),
    "three classes": ("answers with 3 classes; d has 2 to train", None),
    "no train.tsv": (r"train.tsv: expected the line 'sentence<TAB>label' .* found nothing", ""),
    "another head": (r"train.tsv: expected the line .* found \['text", "text\tlabel\na\t1"),
    "only a head": ("train.tsv: expected the line .* and sentences below it", "sentence\tlabel\n"),
    "one column": ("train.tsv, line 3: expected a sentence, a tab and a label .* found 'bad'",
                   "sentence\tlabel\ngood\t1\nbad\n"),
    "three columns": ("line 2: expected a sentence, a tab", "sentence\tlabel\ngood\t1\t1\n"),
    "a word as label": ("line 2: .* label from 0 on; found 'good\tyes'",
                        "sentence\tlabel\ngood\tyes\n"),
    "a negative label": ("line 2: .* label from 0 on", "sentence\tlabel\ngood\t-1\n"),
    "a label that does not train": ("d has 2 to train, and no others may judge", None),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_gets_a_sentence(tmp_path, what):
    words, text = WRONG[what]
    model, data = save(tmp_path / "m"), sst2(tmp_path / "d")
    if what == "no config.json":
        model = tmp_path / "nothing"
    if what == "no linear layers":
        model = save(tmp_path / "g", GPT2Config(vocab_size=10, n_embd=8, n_layer=2, n_head=2))
    if what == "three classes":
        model = save(tmp_path / "t", bert(num_labels=3))
    if what == "a label that does not train":
        sst2(data, PAIRS, [("good", 2)])
    if text is not None:
        (data / "train.tsv").write_text(text) if text else (data / "train.tsv").unlink()
    with pytest.raises(QlabError, match=words) as caught:
        prepare(given(model, data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"threads": 0}, {"steps": -1}, {"rate": -1.0}])
def test_parameters_out_of_range_are_refused(wrong):
    [name] = wrong
    with pytest.raises(
        QlabError, match=f"The parameter '{name}': Input should be greater than or equal to"
    ):
        Parameters.of(wrong)
