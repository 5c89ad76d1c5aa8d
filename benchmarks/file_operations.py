"""Operations on the file system for each run of a launch: `python benchmarks/file_operations.py`.

On a shared file system each takes about a millisecond. They are counted by strace in two dry runs of different length,
so that what a launch does once cancels out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

APP = """
import hydra


@hydra.main(version_base=None, config_path=None)
def main(config: object) -> None:
    pass


main()
"""
FEW, MANY = 20, 120


def main() -> None:
    few, many = operations(FEW), operations(MANY)
    print(f"{'operation':<12}  a run")
    for name in sorted(many, key=lambda name: -many[name]):
        if (number := (many[name] - few[name]) / (MANY - FEW)) >= 0.1:
            print(f"{name:<12}  {number:5.1f}")
    print(f"{'all':<12}  {(many.total() - few.total()) / (MANY - FEW):5.1f}")


def operations(runs: int) -> Counter[str]:
    """The number of system calls that name a file below logs/, by their name."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.py").write_text(APP)
        trace = Path(folder, "trace")
        sweep = [f"+x={','.join(map(str, range(runs)))}", "hydra/callbacks=mlxp_logging"]
        argv = ["strace", "-f", "-qq", "-e", "trace=%file", "-o", str(trace), sys.executable, "main.py", "-m", *sweep]
        argv += ["hydra/launcher=slurm", "hydra.launcher.dry_run=true"]
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)
        calls = re.findall(rf'^\d+ +(\w+)\(.*"{re.escape(folder)}/logs', trace.read_text(), re.MULTILINE)
    return Counter(calls)


if __name__ == "__main__":
    main()
