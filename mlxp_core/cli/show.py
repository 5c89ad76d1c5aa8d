"""`mlxp show`: all that is known of a run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlxp_core.cli.options import in_directory

if TYPE_CHECKING:
    from mlxp_core.results.rows import Row

_LAST_LINES = 10
_LAST_BYTES = 20_000


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@in_directory
def show(runs: tuple[str, ...], directory: Path) -> None:
    """Show all that is known of a run, up to the last lines of its log.

    RUN is a number (5), a range (3-7), a list (1,4,9) or the path of a run's directory.

    Example: mlxp show 12
    """
    from mlxp_core.actions.selection import select_runs
    from mlxp_core.results.rows import Row
    from mlxp_core.runs.file_cache import FileCache
    from mlxp_core.status.resolver import StatusResolver

    found, states = select_runs(runs, directory), StatusResolver()
    statuses = states.resolve(found)
    for place, (run, resolved) in enumerate(zip(found, statuses, strict=True)):
        _show(Row(run, resolved, FileCache(None)), "\n" if place else "")
    for note in states.notes:
        click.echo(note, err=True)


def _show(row: Row, before: str) -> None:
    from mlxp_core.cli.tables import colour

    reason = f": {row.resolved.reason}" if row.resolved.reason else ""
    status = click.style(row.resolved.status, fg=colour(row.resolved.status))
    click.echo(f"{before}{row.run.path} is {status}{reason}")
    for title, text in _facts(row):
        if text:
            first, *others = text.splitlines()
            click.echo(f"  {title:<10} {first}")
            for line in others:
                click.echo(f"  {'':<10} {line}")
    directory = row.run.directory
    for file in (directory.stdout, directory.stderr):
        lines = _last_lines(file)
        if lines:
            click.echo(f"\n  {file.name}, its last {f'{len(lines)} lines' if len(lines) > 1 else 'line'}:")
            for line in lines:
                click.echo(f"    {line}")


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    from mlxp_core.cli.tables import duration, text_of

    run, info, now = row.run, row.run.info, time.time()
    for name in ("started", "ended"):
        if row.shown(name):
            yield name, f"{row.shown(name)} ({text_of(name, row.shown(name), now).partition('(')[2]}"
    if row.shown("elapsed") is not None:
        yield "elapsed", duration(row.shown("elapsed"))
    if info.get("hostname"):
        yield "host", f"{info['hostname']}, process {info.get('process_id')} of {info.get('user')}"
    if run.job_id:
        first = run.first_job_id
        again = f", first submitted as {first}" if first != run.job_id else ""
        yield "job", f"{run.job_id} of {run.scheduler_title}{again}"
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
    yield "again", f"bash {shlex.quote(str(script))}" if script.exists() else ""


def _code(info: Mapping[str, Any]) -> str:
    """Which commit it ran, and whether the tree was changed."""
    version = info.get("version_manager")
    if not isinstance(version, Mapping):
        work_dir = info.get("work_dir")
        return f"as it was in {work_dir} (no mlxp_versioning)" if work_dir else ""
    changes = {
        "none": "nothing was changed",
        "committed": "changes were committed for it",
        "kept": "with changes that no branch has",
        "ignored": "changes were left out",
    }
    changed = changes.get(str(version.get("uncommitted")), str(version.get("uncommitted")))
    lines = [f"{version.get('commit_hash')} on {version.get('branch')} of {version.get('repo_path')}; {changed}"]
    if version.get("untracked"):
        lines.append(f"without untracked {', '.join(version['untracked'])}")
    if not version.get("safe_copy"):
        lines.append("run from the repository itself: later edits may have reached it")
    if version.get("loaded_from_repository"):
        lines.append(f"but loaded from the repository: {', '.join(version['loaded_from_repository'])}")
    return "\n".join(lines)


def _settings(row: Row) -> str:
    """mlxpy.yaml, as it was then; or the options that the launcher was given."""
    try:
        return (row.run.directory.metadata / "mlxpy.yaml").read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError:
        from dataclasses import asdict

        from mlxp_core.config.options import BatchOptions

        usual = asdict(BatchOptions())
        options = row.run.launch.options if row.run.launch else {}
        return " ".join(f"{key}={value}" for key, value in options.items() if value and usual.get(key) != value)


def _last_lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _LAST_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    # A progress bar writes one line again and again
    return [line.rpartition("\r")[2] for line in text.rstrip().split("\n")[-_LAST_LINES:] if line.strip()]
