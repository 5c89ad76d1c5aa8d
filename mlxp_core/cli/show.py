"""`mlxp show`: prints everything that is known about a run."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlxp_core.cli.options import in_directory
from mlxp_core.console import escaped, say, without_sequences

if TYPE_CHECKING:
    from mlxp_core.results.rows import Row

_LAST_LINES = 10
_LAST_BYTES = 20_000


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@in_directory
def show(runs: tuple[str, ...], directory: Path) -> None:
    """Show the details of runs and the last lines of their logs.

    RUN is a number (5), a range (3-7), a list (1,4,9) or the path of a run's directory.

    \b
    Examples:
      mlxp show 12
      mlxp show 3-7
    """
    from mlxp_core.actions.selection import select_runs
    from mlxp_core.results.rows import Row
    from mlxp_core.runs.file_cache import FileCache
    from mlxp_core.status.resolver import StatusResolver

    found, states = select_runs(runs, directory), StatusResolver()
    statuses = states.resolve(found)
    has_colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for place, (run, resolved) in enumerate(zip(found, statuses, strict=True)):
        text = "\n".join([*([""] if place else []), *_details(Row(run, resolved, FileCache(None)))])
        say(text if has_colors else click.unstyle(text), styled=has_colors)
    for note in states.notes:
        say(note, sys.stderr)


def _details(row: Row) -> Iterator[str]:
    """Yield the lines about one run."""
    from mlxp_core.cli.tables import color

    reason = f": {row.resolved.reason}" if row.resolved.reason else ""
    status = click.style(row.resolved.status, fg=color(row.resolved.status))
    yield f"{escaped(row.run.path)} is {status}{escaped(reason)}"
    for title, text in _facts(row):
        for line in text.splitlines():
            yield f"  {title:<10} {escaped(line)}"
            title = ""
    directory = row.run.directory
    for file in (directory.stdout, directory.stderr):
        lines = _last_lines(file)
        if lines:
            yield ""
            yield f"  Last {f'{len(lines)} lines' if len(lines) > 1 else 'line'} of {file.name}:"
            yield from (f"    {escaped(line)}" for line in lines)


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    """Yield what the records say, each with a title; texts may be empty."""
    from mlxp_core.cli.tables import duration, text_of

    run, info, now = row.run, row.run.info, time.time()
    for name in ("started", "ended"):
        if row.shown(name):
            yield name, f"{row.shown(name)} ({text_of(name, row.shown(name), now).partition('(')[2]}"
    if row.shown("elapsed") is not None:
        yield "elapsed", duration(row.shown("elapsed"))
    if info.get("hostname"):
        yield "host", f"{info['hostname']}, process {info.get('process_id')}, user {info.get('user')}"
    job_id = row.job_id
    if job_id:
        first = run.submitted_job
        again = f", first submitted as {first}" if first and first != job_id else ""
        yield "job", f"{job_id} on {run.scheduler_title}{again}"
    yield "code", _code(info)
    yield "overrides", " ".join(run.overrides)
    yield "settings", _settings(row)
    yield "metrics", text_of("metrics", row.metrics, now) if row.metrics else ""
    error = info.get("error")
    if isinstance(error, Mapping):
        yield "error", f"{error.get('type')}: {error.get('message')}"
    if "exit_status" in info:
        yield "exit", str(info["exit_status"])
    script = run.directory.script
    yield "run again", f"bash {shlex.quote(str(script))}" if script.exists() else ""


def _code(info: Mapping[str, Any]) -> str:
    """Return the commit that the run used, and what was not in it."""
    version = info.get("version_manager")
    if not isinstance(version, Mapping):
        work_dir = info.get("work_dir")
        return f"not recorded; the code in {work_dir} at that time (no mlxp_versioning)" if work_dir else ""
    changes = {
        "none": "no uncommitted changes",
        "committed": "changes were committed at the launch",
        "kept": "includes changes that are on no branch",
        "ignored": "without uncommitted changes",
    }
    changed = changes.get(str(version.get("uncommitted")), str(version.get("uncommitted")))
    lines = [f"{version.get('commit_hash')} on {version.get('branch')} of {version.get('repo_path')}; {changed}"]
    if version.get("untracked"):
        lines.append(f"without untracked {', '.join(version['untracked'])}")
    if version.get("links"):
        lines.append(f"with links to untracked {', '.join(version['links'])}")
    if not version.get("safe_copy"):
        lines.append("run in the repository itself, so edits after the start may have changed it")
    if version.get("changed_at_start"):
        lines.append(f"but changed or added when the run started: {', '.join(version['changed_at_start'])}")
    if version.get("loaded_from_repository"):
        lines.append(f"but loaded from the repository: {', '.join(version['loaded_from_repository'])}")
    return "\n".join(lines)


def _settings(row: Row) -> str:
    """Return the settings at the launch (mlxpy.yaml), or else the launcher's options."""
    try:
        return (row.run.directory.metadata / "mlxpy.yaml").read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError:
        from dataclasses import asdict

        from mlxp_core.config.options import BatchOptions

        defaults = asdict(BatchOptions())
        options = row.run.launch.options if row.run.launch else {}
        return " ".join(f"{key}={value}" for key, value in options.items() if value and defaults.get(key) != value)


def _last_lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _LAST_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    # A progress bar rewrites one line after a carriage return
    lines = without_sequences(text)
    return [line.rpartition("\r")[2] for line in lines.rstrip().split("\n")[-_LAST_LINES:] if line.strip()]
