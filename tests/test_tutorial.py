"""The commands of the README and of the tutorial run, and print what these pages show, on a real SLURM and OAR.

`pytest tests/test_tutorial.py --record` runs the commands of all pages and writes what they print into the pages
(`-k launching`: those of one page).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters import REPOSITORY, Cluster
from tests.pages import check, draw_step, read_steps, record, run_step

TUTORIAL = REPOSITORY / "docs" / "tutorial.md"
README = REPOSITORY / "README.md"


def other_pages() -> list[Path]:
    """Return the pages but the tutorial, whose commands are recorded on SLURM only."""
    return [page for page in (README, *sorted((REPOSITORY / "docs").glob("*.md"))) if page != TUTORIAL]


def run_page(page: Path, scheduler: Cluster, *, recording: bool) -> None:
    """Run a page's commands in a copy of the example; compare or record their output."""
    app = scheduler.example("tutorial")
    app.environment.update(dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "A Student"))
    app.environment.update(dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "student@example.org"))
    name = scheduler.launcher.upper()
    steps = [step for step in read_steps(page.read_text()) if step.scheduler in ("", name)]
    shown = []
    for step in steps:
        if recording and step.picture:
            draw_step(step, app)
        shown.append("" if step.picture else run_step(step, app))
        if not recording and not step.command.startswith(("oarstat", "squeue")):
            check(step, shown[-1])
    if recording:
        # What both tabs share is recorded on SLURM
        kept = [pair for pair in zip(steps, shown, strict=True) if name == "SLURM" or pair[0].scheduler == name]
        record(page, [step for step, _ in kept], [text for _, text in kept], app)


@pytest.mark.once
def test_the_tutorial(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    run_page(TUTORIAL, scheduler, recording=request.config.getoption("--record"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page" in metafunc.fixturenames:
        pages = other_pages() if metafunc.config.getoption("--record") else [README]
        metafunc.parametrize("page", pages, ids=lambda page: str(page.stem))


@pytest.mark.once
def test_a_page(page: Path, slurm: Cluster, request: pytest.FixtureRequest) -> None:
    run_page(page, slurm, recording=request.config.getoption("--record"))
