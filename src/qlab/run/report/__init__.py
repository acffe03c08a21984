"""The report: one HTML page with the answers, the claims, every figure, and how it was measured.

`python -m qlab.run.report` writes it from what lies in data/results/ and figures/; it measures nothing.
`page` gathers and renders, `answers`, `ledger`, `pictures` and `methods` are its parts;
page.html.j2, page.css and page.js are its form. The page holds all it shows and loads nothing.
"""
