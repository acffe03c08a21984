"""A bar over the steps of a Keras training: one that tells the time left of all epochs together."""

from qlab.core import quiet
from qlab.core.progress import bar
from qlab.core.tf import tf  # noqa: F401  (keeps TensorFlow's notes out of the log)

with quiet.quiet():  # not among the imports above, which are sorted: TensorFlow comes first
    import tf_keras as keras


class StepsBar(keras.callbacks.LambdaCallback):
    """A bar while `fit` trains, of what is left where it goes on from a backup."""

    def __init__(self, name: str, steps: int, epochs: int):
        self.left = None

        def begin(epoch: int, *_, **_logs) -> None:
            self.left = self.left or iter(bar(name)(range((epochs - epoch) * steps)))

        super().__init__(
            on_epoch_begin=begin,
            on_batch_end=lambda *_, **_logs: next(self.left, None),
            on_train_end=lambda *_, **_logs: list(self.left or ()),  # closes the bar
        )
