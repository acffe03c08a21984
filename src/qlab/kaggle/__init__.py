"""The collection on Kaggle: one cell installs it, finds what is attached, goes on from before.

`workflow/kaggle/cell.py` is that cell; it calls `install`, then `session`. `bundle` and `kernels`
make, on any machine, what is uploaded. Nothing here runs anywhere else.
"""
