"""Settings of the documentation: `make docs` builds it into docs/_build."""

from importlib.metadata import version as installed_version

from pygments.lexer import RegexLexer
from pygments.token import Generic
from sphinx.application import Sphinx

project = "hydra-mlxp"
copyright = "2026, the hydra-mlxp authors"
version = release = installed_version("hydra-mlxp")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_design",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
# What a scheduler class has, in the groups of the docstring of Scheduler
napoleon_custom_sections = [
    (name, "params_style")
    for name in (
        "Required attributes",
        "Required method",
        "Optional attributes and methods",
        "To submit a sweep as one request",
        "To query the states of jobs",
        "To find jobs after a lost answer",
        "To requeue jobs at their time limit",
    )
]
smartquotes = False  # would change the options in the texts of `mlxp --help`
default_role = "code"  # single backticks in docstrings

html_theme = "furo"
html_title = "hydra-mlxp"
html_static_path = ["_static"]
html_css_files = ["wide.css"]


class ConsoleLexer(RegexLexer):
    """Commands behind `$`, and output, in which `#` and `>` are no prompts."""

    tokens = {  # noqa: RUF012  # as pygments wants it
        "root": [(r"^\$ ", Generic.Prompt, "command"), (r".*\n", Generic.Output)],
        "command": [(r".*\\\n", Generic.Strong), (r".*\n", Generic.Strong, "#pop")],
    }


def setup(app: Sphinx) -> None:
    """Use the lexer above, and leave out the arguments of commands, about which click knows only their names."""
    app.add_lexer("console", ConsoleLexer)
    app.connect("sphinx-click-process-arguments", lambda app, context, lines: lines.clear())
