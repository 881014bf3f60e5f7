"""Owns how the documentation looks as a site. What is on it: build.py."""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "Recloser"
author = "The Recloser authors"
project_copyright = "the Recloser authors, Apache-2.0"
extensions = ["myst_parser"]
root_doc = "index"
myst_heading_anchors = 5
html_theme = "furo"
html_title = "Recloser"
html_copy_source = False
html_show_sphinx = False
highlight_language = "none"
nitpicky = True


def setup(app: Sphinx) -> None:
    """Let tables of numbers be shown as they are."""
    app.add_lexer("csv", TextLexer)
