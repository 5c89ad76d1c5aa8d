"""Scripts that run on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlxp_core.status.local_processes import end_processes, running_scripts

pytestmark = pytest.mark.once


def test_scripts_are_found_by_their_path(tmp_path: Path) -> None:
    script = tmp_path / "a b" / "script.sh"
    script.parent.mkdir()
    script.write_text("sleep 60\necho\n")
    for argv, directory in ((["sh", "script.sh"], script.parent), (["sh", "-e", str(script)], Path("/"))):
        process = subprocess.Popen(argv, cwd=directory, start_new_session=True)
        try:
            assert running_scripts()[str(script)] == process.pid
        finally:
            end_processes(process.pid, None)
            assert process.wait() != 0
    assert str(script) not in running_scripts()
