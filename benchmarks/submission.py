"""The cost of submitting a sweep to a real SLURM, next to peers and a floor: `make bench` (as root on Debian).

Each side submits the same runs of the smallest application to a partition that is down, in turn, in one session, with
the same versions of Hydra and OmegaConf. The floor is one raw `sbatch --array` plus writing as many script files. Time
and memory are those of the whole process, as accounted for by the operating system. Calls to SLURM are counted by
wrapper programs that come first on the PATH.

    python benchmarks/submission.py ENVIRONMENTS [--sizes 10 100 1000] [--ours-alone 10000] [--rounds 3]

ENVIRONMENTS holds the virtual environments ours, submitit and mlxp (see the Makefile).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from environments import print_versions, python_of

APP = """
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    return config.x

if __name__ == "__main__":
    main()
"""
# MLXP's applications import it
MLXP_APP = """
import mlxp

@mlxp.launch(config_path="conf")
def main(ctx):
    return ctx.config.x

if __name__ == "__main__":
    main()
"""
MLXP_OPTIONS = ["+mlxp.use_scheduler=True", "+mlxp.interactive_mode=False", "+mlxp.scheduler.name='#SBATCH'"]
FLOOR = """
import subprocess, sys
from pathlib import Path
for number in range(int(sys.argv[1])):
    Path(f"script-{number}.sh").write_text("#!/bin/sh\\n" + "# a line of a script\\n" * 20)
Path("array.sh").write_text("#!/bin/sh\\n#SBATCH --output=/dev/null\\n")
for start in range(0, int(sys.argv[1]), 1000):  # SLURM's longest array
    last = min(1000, int(sys.argv[1]) - start) - 1
    subprocess.run(["sbatch", f"--array=0-{last}", "array.sh"], check=True)
"""
COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel")


class Cost(NamedTuple):
    """Cost of one submission."""

    seconds: float
    megabytes: float
    calls: int


def submission(name: str, runs: int, environments: Path) -> Cost:
    """Submit runs with one of the launchers, then cancel them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        (place / "conf").mkdir()
        (place / "conf" / "config.yaml").write_text("x: 0\n")
        (place / "main.py").write_text({"mlxp": MLXP_APP, "floor": FLOOR}.get(name, APP))
        calls = place / "calls"
        calls.touch()
        (place / "bin").mkdir()
        for command in COMMANDS:
            program = place / "bin" / command
            program.write_text(f'#!/bin/sh\necho {command} >> {calls}\nexec /usr/bin/{command} "$@"\n')
            program.chmod(0o755)
        python = python_of(environments, "ours" if name == "floor" else name)
        values = f"x={','.join(map(str, range(runs)))}"
        argv = {
            "ours": [python, "main.py", "-m", values, "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging"],
            "submitit": [python, "main.py", "-m", values, "hydra/launcher=submitit_slurm"],
            "mlxp": [python, "main.py", values, *MLXP_OPTIONS],
            "floor": [python, "main.py", str(runs)],
        }[name]
        environment = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
        start = time.perf_counter()
        process = subprocess.Popen(argv, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if name == "submitit":  # it waits for its runs; the submission ends when SLURM has all of them
            while submitted() < runs:
                time.sleep(0.5)  # shorter pauses would take processor time from what is measured
            seconds = time.perf_counter() - start
            process.terminate()
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if name != "submitit":
            seconds = time.perf_counter() - start
            assert status == 0, errors.decode()
        found = submitted()
        assert found == runs, f"{name}: {found} of {runs} are submitted"
        cost = Cost(seconds, usage.ru_maxrss / 1024, len(calls.read_text().split()))
        subprocess.run(["scancel", "--user=root"], check=True)
        return cost


def submitted() -> int:
    """Return the number of jobs that this user has in SLURM."""
    answer = subprocess.run(["squeue", "--me", "-h", "-r", "-o", "%i"], check=True, capture_output=True, text=True)
    return len(answer.stdout.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--ours-alone", type=int, nargs="*", default=[10_000])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    environments = arguments.environments.absolute()
    print_versions(environments, ["ours", "submitit", "mlxp"])
    subprocess.run(["scontrol", "update", "partitionname=main", "state=down"], check=True)
    try:
        print(f"{'runs':>6}  {'':<9} {'seconds':>8} {'/ ours':>7}  {'ms/run':>7}  {'MB':>5}  calls to SLURM")
        for runs in [*arguments.sizes, *arguments.ours_alone]:
            names = ["ours", "floor", "submitit", "mlxp"] if runs in arguments.sizes else ["ours", "floor"]
            costs: dict[str, list[Cost]] = {name: [] for name in names}
            for number in range(arguments.rounds):
                for name in names:
                    # One round of a peer takes minutes, much longer than it varies
                    if number == 0 or runs <= 100 or name in ("ours", "floor"):
                        costs[name].append(submission(name, runs, environments))
            ours = median(cost.seconds for cost in costs["ours"])
            for name in names:
                seconds, memory, calls = (median(values) for values in zip(*costs[name], strict=True))
                ratio, each = seconds / ours, seconds / runs * 1000
                print(f"{runs:>6}  {name:<9} {seconds:>8.2f} {ratio:>7.2f}  {each:>7.2f}  {memory:>5.0f}  {calls:.0f}")
    finally:
        subprocess.run(["scontrol", "update", "partitionname=main", "state=up"], check=True)
        shutil.rmtree("multirun", ignore_errors=True)


if __name__ == "__main__":
    main()
