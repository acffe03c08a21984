"""Models and data as files.

`fetch` downloads, `hub` gets models of Hugging Face, `embedded` the project's own; `take` copies a
variant for use elsewhere.
"""
