"""qlab's side: `qlab_side.py MODEL_FOLDER PASSAGES.jsonl THREADS LIMIT OUT.json`, float32."""

import sys
from pathlib import Path

import side
import torch

from qlab.language import checkpoint, lambada, scoring, streaming

if __name__ == "__main__":
    folder, file, threads, limit, target = sys.argv[1:]
    torch.set_num_threads(int(threads))
    passages = lambada.read(Path(file))[: int(limit)]
    model, words = streaming.load_dense(Path(folder)), checkpoint.load_tokenizer(Path(folder))
    encoded = lambada.encode(passages, words, checkpoint.context(model.config))
    scores = scoring.score(model, encoded)
    side.tell(
        target,
        len(passages),
        float(scores.greedy.mean()),
        scoring.perplexity(scores.log_likelihood),
    )
