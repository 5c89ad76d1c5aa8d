"""Records and journals on disk: damaged ones are reported, special files are not read, times decide and not strings."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from mlxp_core.errors import RunDirectoryError, RunRecordError
from mlxp_core.files import read_regular, write_whole
from mlxp_core.runs.info import read_info
from mlxp_core.runs.journal import SUBMISSIONS, append_entries, read_entries, read_records
from mlxp_core.runs.plan_file import PlanFile
from tests.programs import App

pytestmark = pytest.mark.once

LOGGING = "hydra/callbacks=mlxp_logging"
IN_RUN_1 = "hydra.callbacks.mlxp_logging.forced_log_id=1"


@pytest.mark.parametrize("content", [b"status: {", b"\xff\xfe\x00", b"- a list\n", b"at: 2026-99-99\n"])
def test_a_damaged_record(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "info.yaml"
    path.write_bytes(content)
    with pytest.raises(RunRecordError, match=rf"The record of a run is damaged: {path}\. Restore it, or delete it"):
        read_info(path)


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in ("fifo", "directory"):
        with pytest.raises(RunRecordError, match=rf"Cannot read the record of a run, {tmp_path}/{name}: not a regular"):
            read_info(tmp_path / name)
    assert read_info(tmp_path / "missing") == {}


def test_commands_report_a_damaged_record(app: App) -> None:
    app.run(LOGGING)
    record = app.directory / "logs" / "1" / "metadata" / "info.yaml"
    record.write_text("status: {")
    for arguments in ((LOGGING, IN_RUN_1), ("-m", "hydra/launcher=local", LOGGING, IN_RUN_1)):
        result = app.run(*arguments)
        assert result.status == 1
        assert f"The record of a run is damaged: {record}" in result.stderr
        assert "Traceback" not in result.text
    result = app.call(sys.executable, "-m", "mlxp_core.jobs.record_end", str(record), "0", "0")
    assert result.status == 1
    assert result.stderr.startswith("mlxp: The end of the run cannot be recorded. The record of a run is damaged: ")
    assert record.read_text() == "status: {"
    record.unlink()
    assert app.run(LOGGING, IN_RUN_1).status == 0
    assert read_info(record)["status"] == "COMPLETE"


def test_special_files_do_not_block_the_listing(app: App) -> None:
    app.run(LOGGING)
    for name in ("2/metadata/info.yaml", "1/metrics/train.json", "1/metadata/overrides.yaml"):
        path = app.directory / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    result = app.call(str(Path(app.python).with_name("mlxp")), "ls", "--json", timeout=180)
    assert result.status == 0, result.text
    rows = json.loads(result.stdout)
    assert [(row["run"], row["status"], row["metrics"]) for row in rows] == [
        ("1", "COMPLETE", {}),
        ("2", "UNKNOWN", {}),
    ]
    assert "2/metadata/info.yaml cannot be read: not a regular file" in rows[1]["reason"]


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"a", b"ab" * 100_000):
        path.write_bytes(content)
        assert read_regular(path) == content


def test_a_durable_file_is_on_the_disk_before_it_replaces_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    seen: list[tuple[str, str]] = []

    def fsync(descriptor: int) -> None:
        seen.append((file.read_text(), Path(f"/proc/self/fd/{descriptor}").read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(file, "new", durable=True)
    assert seen == [("old", "new")]
    append_entries(file, [{"run": "1"}])
    assert seen[1:] == [('new\n{"run": "1"}\n',) * 2]
    write_whole(file, "newer")
    assert len(seen) == 2

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunDirectoryError, match="No space left on device"):
        write_whole(file, "newest", durable=True)
    assert file.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [file]


def plan(sweep: Path, launch: str, at: str, modified: int) -> None:
    """Write a launch of run /1."""
    file = sweep / launch / "plan.json"
    file.parent.mkdir(parents=True)
    PlanFile(
        scheduler="a.B",
        options={},
        array_size=1,
        runs=[{"directory": "/1", "output_subdir": None, "sweep_overrides": [], "overrides": []}],
        app={"cwd": "/", "environment": {}},
        main_file=None,
        version=None,
        settings={},
        started_in="/",
        is_resubmission=False,
        after=(),
        at=at,
    ).write(file)
    os.utime(file, (modified, modified))


def test_times_of_several_time_zones(tmp_path: Path) -> None:
    """The later time decides, and not the later text."""
    earlier, later = "2026-03-29T03:30:00+02:00", "2026-03-29T02:00:00+00:00"
    for first, second in (("a", "b"), ("b", "a")):
        for name, at in ((first, earlier), (second, later)):
            sweep = tmp_path / f"{first}{second}" / name
            sweep.mkdir(parents=True)
            entry = {"run": "/1", "job_id": at, "scheduler": "B", "at": at}
            append_entries(sweep / SUBMISSIONS, [entry])
            assert list(read_entries(sweep / SUBMISSIONS, "run")) == [entry]
            plan(sweep, "launch-1", at, modified=1)
        records = read_records(tmp_path / f"{first}{second}" / name for name in "ab")
        assert records.submissions["/1"].job_id == later
        assert records.launches["/1"].at == later


def test_launches_are_ordered_by_the_recorded_time(tmp_path: Path) -> None:
    """A copied plan has another modification time; it counts only for launches of the same second."""
    plan(tmp_path, "launch-2", "2026-03-29T03:30:01+00:00", modified=1)
    plan(tmp_path, "launch-1", "2026-03-29T03:30:00+00:00", modified=2)
    assert read_records([tmp_path]).launches["/1"].directory.name == "launch-2"
    plan(tmp_path, "launch-3", "2026-03-29T03:30:01+00:00", modified=2)
    assert read_records([tmp_path]).launches["/1"].directory.name == "launch-3"
