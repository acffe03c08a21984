"""What `make` and `qlab` run. Start with `notebook` (papermill, made strict).

`parameters` reads a notebook's parameters cell, `cli` is the command line, and `compare` compares
two runs; sweeps and README's table are in `workflow/`.
"""
