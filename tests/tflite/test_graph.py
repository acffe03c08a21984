"""Which part of a made-up graph only decodes; what operators are called in old and new files."""

from pathlib import Path
from types import SimpleNamespace

from qlab.tflite import graph as tflite_graph


def test_decoding_is_what_no_weights_come_after_in_the_order_of_execution(monkeypatch):
    chain = "SHAPE image side/PAD image a/CONV_2D a b/ADD b a c/TRANSPOSE_CONV c side d"
    steps = [step.split() for step in f"{chain}/LOGISTIC d e/TOPK_V2 e f".split("/")]
    operators = [tflite_graph.Operator(kind, tuple(i), (o,)) for kind, *i, o in steps]
    monkeypatch.setattr(tflite_graph, "operators", lambda file: operators)
    assert tflite_graph.decoding(Path("x")) == ["e", "f"]


def test_operators_are_named_in_files_of_every_age():
    for custom, builtin, deprecated, name in (
        (None, 3, 3, "CONV_2D"),
        (None, 0, 3, "CONV_2D"),  # an old converter's: in the deprecated field alone
        (None, 150, 127, "GELU"),  # a kind too new for that field
        (b"TFLite_Detection_PostProcess", 32, 32, "TFLite_Detection_PostProcess"),
    ):
        known = {"customCode": custom, "builtinCode": builtin, "deprecatedBuiltinCode": deprecated}
        model = SimpleNamespace(operatorCodes=[None, SimpleNamespace(**known)])
        assert tflite_graph.kind(model, SimpleNamespace(opcodeIndex=1)) == name
