"""Numbers are given once, by mkdir, at a cost that does not depend on the number of runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import check_writable, write_whole
from mlxp_core.runs.directory import RunDirectory, allocate_run, open_run

ALLOCATE = """
import sys
from pathlib import Path
from mlxp_core.runs.directory import allocate_run
for _ in range(int(sys.argv[2])):
    print(allocate_run(Path(sys.argv[1])).name)
"""


def test_numbers_start_at_one(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "logs"
    assert [allocate_run(root).name for _ in range(3)] == ["1", "2", "3"]
    assert (root / ".gitignore").read_text() == "*\n"
    assert RunDirectory(root / "2", "metadata").number == 2
    assert RunDirectory(tmp_path / "multirun" / "2", ".hydra").number is None


@pytest.mark.once
def test_processes_get_different_numbers(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", ALLOCATE, str(tmp_path), "500"], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    numbers = [int(line) for process in processes for line in process.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 4001))


def test_numbers_are_not_reused(tmp_path: Path) -> None:
    for _ in range(5):
        allocate_run(tmp_path)
    for number in (2, 5):
        shutil.rmtree(tmp_path / str(number))
    assert allocate_run(tmp_path).name == "6"


def test_directories_made_by_others_are_counted(tmp_path: Path) -> None:
    for name in ("7", "12", "notes", "20x"):
        (tmp_path / name).mkdir()
    assert allocate_run(tmp_path).name == "13"
    (tmp_path / ".numbers").write_text("damaged")
    assert allocate_run(tmp_path).name == "14"


def test_the_directory_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This makes the cost independent of the number of runs; benchmarks/numbering.py measures it."""
    allocate_run(tmp_path)
    monkeypatch.setattr(os, "scandir", None)
    monkeypatch.setattr(os, "listdir", None)
    assert allocate_run(tmp_path).name == "2"


def test_open_run(tmp_path: Path) -> None:
    assert open_run(tmp_path, 4) == tmp_path / "4"
    assert open_run(tmp_path, 4) == tmp_path / "4"
    assert allocate_run(tmp_path).name == "5"


def test_write_whole_leaves_the_old_or_the_new_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_whole(file, "old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RunDirectoryError, match=r"Cannot write .*file: No space left on device"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_full_disk() -> None:
    with pytest.raises(RunDirectoryError, match=r"No such file|Permission|No space"):
        allocate_run(Path("/proc/self/logs"))


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="file is not a directory"):
        check_writable(tmp_path / "file" / "logs")
