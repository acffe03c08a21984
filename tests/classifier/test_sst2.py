"""Files in SST-2's layout are read as they are meant, and what is wrong in them is named."""

import pytest

from qlab.classifier import sst2
from qlab.core.errors import QlabError

GOOD = 'sentence\tlabel\nit is "fine \t1\nawful !\t0\n'


def folder_of(tmp_path, train: str = GOOD, dev: str = GOOD):
    (tmp_path / "train.tsv").write_bytes(train.encode())
    (tmp_path / "dev.tsv").write_bytes(dev.encode())
    return tmp_path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_sentences_and_labels_and_quotation_marks(tmp_path, end):
    train, dev = sst2.load(folder_of(tmp_path, GOOD.replace("\n", end)))
    assert train.texts == ['it is "fine', "awful !"] == dev.texts
    assert train.labels.tolist() == [1, 0] and train.labels.dtype == "int64"
    assert sst2.is_folder(tmp_path) and not sst2.is_folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"train\.tsv begins with nothing; expected the line 'sentence<TAB>label'"),
        ("it is fine\t1\n", r"train\.tsv begins with 'it is fine\t1'; expected the line"),
        ("index\tsentence\n0\tfine\n", r"begins with 'index\tsentence'"),
        ("sentence\tlabel\n", "has no sentences, only its head"),
        (GOOD + "a\tb\t1\n", "line 4: 3 columns; expected a sentence, a tab and a label"),
        (GOOD + "no tab 1\n", "line 4: 1 columns"),
        (GOOD + "\nfine\tgood\n", "line 5: the label 'good' is no whole number"),
        (GOOD + "fine\t-1\n", "line 4: the label '-1' is no whole number"),
        (GOOD + "fine\t0.5\n", "line 4: the label '0.5' is no whole number"),
        ("sentence\tlabel\nfine\t0\n", "has the label 0 alone; two classes are needed"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, text, sentence):
    with pytest.raises(QlabError, match=sentence):
        sst2.load(folder_of(tmp_path, train=text))


def test_a_label_that_training_does_not_have_and_other_files(tmp_path):
    with pytest.raises(QlabError, match=r"dev\.tsv, line 4: the label 2 is not among .* 0 to 1"):
        sst2.load(folder_of(tmp_path, dev=GOOD + "fine\t2\n"))
    (tmp_path / "dev.tsv").write_bytes(b"sentence\tlabel\n\xff\t1\n")
    with pytest.raises(QlabError, match=r"dev\.tsv is no UTF-8 text"):
        sst2.load(tmp_path)
    (tmp_path / "dev.tsv").unlink()
    with pytest.raises(QlabError, match=r"There is no dev\.tsv in .*GLUE's layout of SST-2, train"):
        sst2.load(tmp_path)
