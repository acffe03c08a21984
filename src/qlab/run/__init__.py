"""What `make` and `qlab` run. Start with `notebook` (papermill, made strict).

`parameters` reads a notebook's cell, `cli` is the command line, `compare` judges two runs, `table`
writes README's table; sweeps are in `workflow/sweep.py`.
"""
