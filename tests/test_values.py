"""Values and run directories with special characters are the same as with Hydra's own launcher, and never executed."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mlxp_core.config.override_grammar import key_of, literal, override
from mlxp_core.jobs.script import shell_word
from tests.clusters import Cluster
from tests.programs import App, info

pytestmark = pytest.mark.hydra

TEXTS = [
    *(
        "a b",
        "it's",
        'say "hi"',
        "$HOME",
        "$(touch x)",
        "`touch x`",
        "a;touch x",
        "*",
        "~",
        "back\\slash",
        "\\'",
        "a\\",
    ),
    *("two\nlines", "x\n#OAR -t nosuchtype\n#SBATCH --nosuchoption", "tab\there", "é漢😀", "a,b", "{a: b}", "[1,2]"),
    *("#comment", "!x", "a=b", "%j %A", "null", "1e3", "-x", "${y}", "\\${y}", "&&", "|cat", ">x", "a\r\nb"),
]
# As users write them; each is one value of a sweep over x
QUOTED = [QuotedString(text, Quote.single).with_quotes() for text in TEXTS]
RAW = ["null", "1e-3", "true", "[a,{b:c}]", "${y}", "{a:1,b:[2,3]}", "a b", "x:y", "''"]


def _sweep_values(app: App, launcher: str) -> list[object]:
    """Launch one run for each value, and return the values that the runs got."""
    app.sweep(f"x={','.join([*QUOTED, *RAW])}", "+y=why", f"hydra/launcher={launcher}")
    return [run["config"]["x"] for run in app.seen()]


def test_values_on_this_machine(app: App) -> None:
    launched = _sweep_values(app, "local")
    shutil.rmtree(app.directory / "multirun")
    assert launched == _sweep_values(app, "basic")
    assert len(launched) == len(TEXTS) + len(RAW)
    assert not (app.directory / "x").exists()


def test_values_on_clusters(scheduler: Cluster, scheduler_app: App) -> None:
    """All values are in one run."""
    overrides = [f"+v{number}={value}" for number, value in enumerate([*QUOTED, *RAW])]
    assert scheduler.sweep(scheduler_app, "+y=why", *overrides) == ["COMPLETED"]
    (launched,) = scheduler_app.seen()
    shutil.rmtree(scheduler_app.directory / "multirun")
    scheduler_app.sweep("+y=why", *overrides)
    assert launched["config"] == scheduler_app.seen()[0]["config"]
    assert not list(scheduler_app.directory.rglob("x"))


SUBDIRS = {
    "override_dirname": "${hydra.job.override_dirname}",
    "blank": "a b/${hydra.job.num}",
    "quote": 'it\'s"${hydra.job.num}"',
    "shell": "$(touch x)`touch x`&;|<>*?[a](b){c}!#~^%j${hydra.job.num}",
    "backslash": "a\\\\b%j${hydra.job.num}",
    "unicode": "é漢 ${hydra.job.num}",
}


def _sweep_into(app: App, subdir: str, *arguments: str) -> None:
    # Read by Hydra's grammar and then by OmegaConf's
    app.sweep("x=1,2", override("hydra.sweep.subdir", subdir), *arguments)


@pytest.mark.parametrize("subdir", SUBDIRS.values(), ids=SUBDIRS.keys())
def test_run_directories_on_this_machine(app: App, subdir: str) -> None:
    _sweep_into(app, subdir, "hydra/launcher=basic")
    expected = sorted(Path(run["output_dir"]).relative_to(app.directory).parts[3:] for run in app.seen())
    shutil.rmtree(app.directory / "multirun")
    _sweep_into(app, subdir, "hydra/launcher=local")
    found = app.seen()
    assert sorted(Path(run["output_dir"]).relative_to(app.directory).parts[3:] for run in found) == expected
    assert [info(Path(run["output_dir"]))["status"] for run in found] == ["COMPLETE"] * 2
    assert not list(app.directory.rglob("x"))


@pytest.mark.once
@pytest.mark.parametrize("subdir", SUBDIRS.values(), ids=SUBDIRS.keys())
def test_run_directories_on_clusters(scheduler: Cluster, scheduler_app: App, subdir: str) -> None:
    blank = " " in subdir
    if scheduler.launcher == "oar" and blank:
        result = scheduler_app.run("-m", "x=1,2", override("hydra.sweep.subdir", subdir), "hydra/launcher=oar")
        assert result.status == 1
        assert "OAR rejects a script with a space in its path" in result.stderr
        assert not (scheduler_app.directory / "multirun").exists()
        return
    _sweep_into(scheduler_app, subdir, f"hydra/launcher={scheduler.launcher}")
    assert scheduler.wait(scheduler.job_ids(scheduler_app)) == ["COMPLETED"] * 2
    runs = [Path(run["output_dir"]) for run in scheduler_app.seen()]
    assert len(runs) == 2
    for run in runs:
        assert info(run)["status"] == "COMPLETE"
        assert (run / "log.stdout").read_text() == "a line on stdout\n"
        assert "a line on stderr\n" in (run / "log.stderr").read_text()
    assert not list(scheduler_app.directory.rglob("x"))


@pytest.mark.once
def test_application_in_an_odd_place(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    """The application's directory contains spaces and quotes. Its runs are elsewhere, because OAR rejects spaces."""
    parent = scheduler.app(request.node.name)
    directory = parent.directory / "it's a $(touch x) place"
    directory.mkdir()
    app = App(directory, parent.python, parent.environment, parent.user).write_probe()
    app.sweep("x=1,2", f"hydra/launcher={scheduler.launcher}", f"hydra.sweep.dir={parent.directory}/runs")
    assert scheduler.wait(scheduler.job_ids(parent)) == ["COMPLETED"] * 2
    assert [run["cwd"] for run in parent.seen()] == [str(directory)] * 2


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_override_gives_exactly_the_text(text: str) -> None:
    written = override("a.b", literal(text))
    (parsed,) = OverridesParser.create().parse_overrides([written])
    config = OmegaConf.create({"a": {"b": parsed.value()}})
    assert str(config.a.b) == text
    assert key_of(written) == "a.b"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_shell_word_is_one_word(text: str) -> None:
    word = shell_word(text)
    assert "\n" not in word
    assert shlex.split(word.replace('"$newline"', "'\n'")) == [text]


@pytest.mark.parametrize(("text", "key"), [("+a.b=1", "a.b"), ("~a", "a"), ("++a/b@c=d", "a/b"), ("a=b=c@d", "a")])
def test_key_of(text: str, key: str) -> None:
    assert key_of(text) == key
