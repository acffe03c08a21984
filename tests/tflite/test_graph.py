"""What operators are called in old and new files."""

from types import SimpleNamespace

from qlab.tflite import graph as tflite_graph


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
