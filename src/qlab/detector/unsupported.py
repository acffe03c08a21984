"""Operators that LiteRT lacks, said in one sentence."""

from qlab.core.errors import QlabError


def converted(converter) -> bytes:
    """What a `tf.lite.TFLiteConverter` makes: the content of a .tflite.

    QlabError naming the operators that LiteRT has not; the converter itself says it with a page of
    MLIR. Other errors are passed on.
    """
    try:
        return converter.convert()
    except Exception as error:  # ConverterError lies in a private module of TensorFlow
        lacking = {e.operator.name.removeprefix("tf.") for e in getattr(error, "errors", [])}
        if not (lacking := sorted(lacking - {""})):
            raise
        raise QlabError(
            f"LiteRT has no operator for {', '.join(lacking)} of this model; write "
            f"{'these parts' if lacking[1:] else 'this part'} with others and export it again, or "
            "leave it out of the graph."
        ) from None
