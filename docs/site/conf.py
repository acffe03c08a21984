"""Sphinx's settings; workflow/site/make.py lays out what it reads."""

project = "qlab"
author = "The qlab authors"
copyright = "The qlab authors, MIT licence"
extensions = ["myst_nb"]
nb_execution_mode = "off"  # executed by `make figures`; outputs are those of that run
nb_merge_streams = True
nb_output_stderr = "remove"
nb_number_source_lines = False
myst_enable_extensions = ["colon_fence", "deflist"]  # no formulas in TeX: nothing to load for them
myst_heading_anchors = 3
myst_links_external_new_tab = False
exclude_patterns = ["static", "**/.ipynb_checkpoints"]
suppress_warnings = [
    "mystnb.mime_priority",
    "misc.highlighting_failure",
    "myst.header",  # notebooks leave levels out
]
html_theme = "sphinx_book_theme"
html_title = "qlab: what quantization costs, and what it buys"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("tables.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navigation_with_keys": False,
    "navbar_persistent": [],  # the sidebar has the search
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_favicon = "static/favicon.svg"
