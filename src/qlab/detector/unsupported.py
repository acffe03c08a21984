"""TensorFlow's converter, without its chatter, and what LiteRT lacks said in one sentence."""

import contextlib
from collections.abc import Iterator

from qlab.core.errors import QlabError
from qlab.core.quiet import quiet


@contextlib.contextmanager
def quiet_converter() -> Iterator[None]:
    """Around `tf.lite.TFLiteConverter.convert()`.

    QlabError naming the operators that LiteRT has not; the converter itself says it with a page of
    MLIR. Other errors are passed on.
    """
    try:
        with quiet():
            yield
    except Exception as error:  # ConverterError lies in a private module of TensorFlow
        lacking = {e.operator.name.removeprefix("tf.") for e in getattr(error, "errors", [])}
        if not (lacking := sorted(lacking - {""})):
            raise
        raise QlabError(
            f"LiteRT has no operator for {', '.join(lacking)} of this model; write "
            f"{'these parts' if lacking[1:] else 'this part'} with others and export it again, or "
            "leave it out of the graph."
        ) from None
