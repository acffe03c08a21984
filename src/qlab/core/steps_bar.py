"""A bar over the steps of a Keras training: one that tells the time left of all epochs together."""

from qlab.core import quiet
from qlab.core.progress import bar
from qlab.core.tf import tf  # noqa: F401  (keeps TensorFlow's notes out of the log)

with quiet.quiet():  # not among the imports above, which are sorted: TensorFlow comes first
    import tf_keras as keras


class StepsBar(keras.callbacks.Callback):
    """A bar while `fit` trains, of what is left where it goes on from a backup."""

    def __init__(self, name: str, steps: int, epochs: int):
        super().__init__()
        self.name, self.steps, self.epochs = name, steps, epochs
        self._left = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Open the bar, at the first epoch."""
        if self._left is None:
            self._left = iter(bar(self.name)(range((self.epochs - epoch) * self.steps)))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Take a step."""
        next(self._left, None)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the bar."""
        for _ in self._left or ():
            pass
