"""ONNX Runtime's side: a folder that onnxruntime-genai's builder wrote, run by plain sessions."""

from pathlib import Path

import numpy as np
import onnxruntime
import side


class Engine:
    """A decoder, with its past as inputs and outputs, that reads one passage."""

    def __init__(self, told: dict) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = told["threads"], 1
        file = str(Path(told["source"], "model.onnx"))
        self.session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
        self.past = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values")]
        self.start()

    def start(self) -> None:
        """Forget what was read."""
        # The shape of each: one passage, heads, no token yet, the width of a head.
        self.state = [np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32) for i in self.past]

    def _run(self, tokens: list[int]) -> np.ndarray:
        total = self.state[0].shape[2] + len(tokens)
        given = {i.name: state for i, state in zip(self.past, self.state, strict=True)}
        given["input_ids"] = np.array([tokens])
        given["attention_mask"] = np.ones((1, total), np.int64)
        logits, *self.state = self.session.run(None, given)
        return logits[0]

    def feed(self, tokens: list[int]) -> int:
        """Read more tokens after those read so far; returns the most probable next one."""
        return int(self._run(tokens)[-1].argmax())

    def logits(self, tokens: list[int]) -> np.ndarray:
        """The logits of a passage, after each of its tokens."""
        self.start()
        return self._run(tokens)


if __name__ == "__main__":
    side.main(Engine)
