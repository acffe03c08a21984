"""lm-evaluation-harness's side, run in the peers' environment, in float32.

    lm_eval_side.py MODEL_FOLDER PASSAGES.jsonl THREADS LIMIT OUT.json BATCH_SIZE

No standard errors are asked for: bootstrapping the perplexity would take minutes, and qlab computes
none here either.
"""

import sys
from pathlib import Path

import lm_eval
import side
import torch
import yaml
from lm_eval.tasks import TaskManager

TASK = Path(__file__).with_name("lambada_openai_local.yaml")

if __name__ == "__main__":
    folder, file, threads, limit, target, batch_size = sys.argv[1:]
    torch.set_num_threads(int(threads))
    task = yaml.safe_load(TASK.read_text()) | {"dataset_kwargs": {"data_files": {"test": file}}}
    results = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": folder, "dtype": "float32"},
        tasks=[task],
        task_manager=TaskManager(include_defaults=False),  # reading 10,000 tasks takes seconds
        limit=int(limit),
        batch_size=batch_size,
        device="cpu",
        bootstrap_iters=0,
    )
    found = results["results"][task["task"]]
    side.tell(target, found["sample_len"], found["acc,none"], found["perplexity,none"])
