"""What `make` and `qlab` run. Start with `notebook` (papermill, made strict).

`parameters` reads a notebook's parameters cell, `cli` is the command line, `compare` compares two
runs, and `table` writes README's table; sweeps are in `workflow/sweep.py`.
"""
