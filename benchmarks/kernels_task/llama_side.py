"""llama.cpp's side: a GGUF file through llama-cpp-python."""

import llama_cpp
import numpy as np
import side

LONGEST = 512  # tokens


class Engine:
    """A GGUF file that reads one passage."""

    def __init__(self, told: dict) -> None:
        self.model = llama_cpp.Llama(
            told["source"],
            n_ctx=LONGEST,
            n_batch=LONGEST,
            n_threads=told["threads"],
            n_threads_batch=told["threads"],
            logits_all=bool(told["passages"]),
            verbose=False,
        )

    def start(self) -> None:
        """Forget what was read."""
        self.model.reset()

    def feed(self, tokens: list[int]) -> int:
        """Read more tokens after those read so far; returns the most probable next one."""
        self.model.eval(tokens)
        last = llama_cpp.llama_get_logits_ith(self.model.ctx, -1)
        return int(np.ctypeslib.as_array(last, (self.model.n_vocab(),)).argmax())

    def logits(self, tokens: list[int]) -> np.ndarray:
        """The logits of a passage, after each of its tokens."""
        self.start()
        self.model.eval(tokens)
        return self.model.scores[: len(tokens)]


if __name__ == "__main__":
    side.main(Engine)
