"""The documentation is complete, its links lead somewhere, and texts for users are plain English."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
import yaml

from mlxp_core.cli import cli
from mlxp_core.config.options import BatchOptions, LauncherOptions, LocalOptions, OAROptions, SLURMOptions
from mlxp_core.config.schemas import LoggingConf, MLXPConf, VersioningConf
from mlxp_core.config.settings_file import DEFAULTS
from mlxp_core.schedulers import Scheduler
from mlxp_core.schedulers.job_state import STATES
from tests.clusters import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [*(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.glob("*.md"))]

# Phrases of the first version that readers had to translate, as patterns, and what is written instead
PHRASES = {
    r"go(es|ing)? on\b(?! (a|this|the|each|every)\b)": "continue",
    r"(is|are|was|were|be) over\b": "finished, ended",
    r"(is|are|be|was) told|tells? (of|that|how|the reason|their)": "report, notify, show",
    r"does not tell": "did not respond",
    r"nobody|somebody|whoever|anybody": "name the subject",
    r"no more\b|any more\b": "no longer",
    r"alone\b": "only",
    r"broken off|breaks off|broke off": "interrupted",
    r"takes? back|took back|taken back|takes? itself back": "remove, withdraw",
    r"of which|whose (word|end|turn)": "a second sentence",
    r"settled?\b|settles\b": "decide, resolve",
    r"meanwhile|by and by": "leave out, or say when",
    r"hand(s|ed)? over|hands? it over": "submit, pass",
    r"cannot be:": "must be ..., got ...",
    r"(?<!there )is no (number|run|scheduler|text|dict)\b": "is not a ...",
    r"like that\.": "No matching ...",
    r"left no end|leaves no end": "no exit was recorded",
    r"as (its|their) (record|director(y|ies)) says?": "from its record",
    r"so many\b": "number of ...",
    r"as well as they can|as far as anybody": "leave out",
    r"please report this": "say where",
    r"made anew|written anew|write .* anew": "again",
    r"tid(y|ies|ied|ying) up": "clean up",
    r"raise hydra": "increase hydra",
}
# What may stand, and why
ALLOWED = [
    "`alone`",  # a mark of tests
    "No more untracked files!",  # a line of the dialog about versions, which is fixed
    "No more uncommitted changes!",
]


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links(page: Path) -> None:
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", without_code(page.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"[{text}]({target})"
        if anchor:
            text_there = file.read_text()
            if file == DOCS / "index.md":  # it is the README
                text_there = (REPOSITORY / "README.md").read_text()
            assert anchor in map(slug, re.findall(r"^#+ (.*)$", text_there, re.MULTILINE)), f"[{text}]({target})"


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def without_code(text: str) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_each_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    assert {page.stem for page in DOCS.glob("*.md")} == {"index", *re.findall(r"^([\w-]+)$", index, re.MULTILINE)}


def test_each_command_is_explained() -> None:
    text = (DOCS / "cli.md").read_text()
    assert [name for name in cli.commands if f"mlxp {name}" not in text] == []


def in_tables(page: str, heading: str = "") -> set[str]:
    """Return the options in the first columns of a page's tables, or of those below one heading."""
    text = (DOCS / page).read_text()
    if heading:
        text = re.split(rf"^## {heading}$", text, flags=re.MULTILINE)[1].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]*`) *\|", text, re.MULTILINE)
    return {name.rpartition(".")[2] for cell in cells for name in re.findall(r"`([^`]*)`", cell)}


def names(schema: type) -> set[str]:
    """Return the options of a schema."""
    return {field.name for field in fields(schema)} - {"_target_"}


def test_options_are_complete() -> None:
    every, batch = names(LauncherOptions), names(BatchOptions)
    for heading, expected in (
        # option_cmd may also stand in the project's settings, but only batch schedulers read it
        ("All launchers", every),
        ("local", names(LocalOptions) - every),
        ("slurm and oar", batch - every),
        ("slurm only", names(SLURMOptions) - batch),
        ("oar only", names(OAROptions) - batch),
        ("hydra/launcher=mlxp", names(MLXPConf) - batch | {"name"}),
    ):
        assert in_tables("options.md", heading) == expected, heading
    assert in_tables("run-directories.md", "Options") == names(LoggingConf)
    assert in_tables("versioning.md", "Options") == names(VersioningConf)


def test_settings_are_complete() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "settings.md").read_text(), re.DOTALL)
    shown = yaml.safe_load(text)
    shown["scheduler"]["name"] = DEFAULTS["scheduler"]["name"]
    assert shown == DEFAULTS


def test_the_docstring_of_schedulers_has_all_states() -> None:
    assert set(re.findall(r"\b[A-Z]{2,}_?[A-Z_]{3,}\b", Scheduler.__doc__ or "")) - {"PBS_ARRAY_INDEX"} >= STATES


def help_texts() -> Iterator[tuple[str, str]]:
    """Return what `--help` shows, by command."""
    for name, command in {"": cli, **cli.commands}.items():
        yield f"mlxp {name} --help", command.get_help(click.Context(command, info_name=f"mlxp {name}"))


def page_texts() -> Iterator[tuple[str, str]]:
    """Return the pages; what commands printed is a message and not a page."""
    for page in PAGES:
        yield page.name, re.sub(r"^```console$.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def benchmark_texts() -> Iterator[tuple[str, str]]:
    """Return the page on benchmarks."""
    yield "benchmarks/README.md", (REPOSITORY / "benchmarks" / "README.md").read_text()


def messages() -> Iterator[tuple[str, str]]:
    """Return the string literals of the package that are sentences and not docstrings, by place."""
    for file in [*REPOSITORY.glob("mlxp_core/**/*.py"), *REPOSITORY.glob("hydra_plugins/**/*.py")]:
        tree = ast.parse(file.read_text())
        left_out = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                left_out.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                left_out |= {part for part in node.values if isinstance(part, ast.Constant)}
        for node in ast.walk(tree):
            text = ""
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in left_out:
                text = node.value
            if " " in text:
                yield f"{file.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 0)}", text


@pytest.mark.parametrize(
    "texts",
    [
        page_texts,
        help_texts,
        messages,
        benchmark_texts,
    ],
)
def test_plain_english(texts: Callable[[], Iterator[tuple[str, str]]]) -> None:
    found = []
    for place, text in texts():
        for allowed in ALLOWED:
            text = text.replace(allowed, "")
        for line in text.splitlines():
            for phrase, better in PHRASES.items():
                if match := re.search(rf"\b(?:{phrase})", line, re.IGNORECASE):
                    found.append(f"{place}: '{match[0]}' ({better}) in: {line.strip()}")
    assert not found, "\n" + "\n".join(found)
