"""What a Hydra program pays for this package: `python benchmarks/start.py ENVIRONMENTS` (see the Makefile).

- the start of a Hydra program that does not use the package, with and without the package installed;
- in a job, the time from the start of script.sh to the first line of the task function, next to plain `python main.py`.

Both sides run in turn, pair by pair. The ratio is the median of the ratios of the pairs, with its quartiles.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from environments import print_versions, python_of

APP = """
import time
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    print("BEGAN", time.time())

if __name__ == "__main__":
    main()
"""
PAIRS = 20


def seconds_to_first_line(argv: list[str], place: Path, output: Path | None = None) -> float:
    """Return the seconds from the start of a command to the first line of the task function."""
    start = time.time()
    done = subprocess.run(argv, cwd=place, check=True, capture_output=True, text=True)
    text = done.stdout if output is None else output.read_text()
    return float(text.rpartition("BEGAN ")[2].split()[0]) - start


def compare(title: str, ours: Callable[[], float], other: Callable[[], float]) -> None:
    """Run both sides in turn and print the ratio."""
    ours(), other()  # warms the file system's cache
    pairs = [(ours(), other()) if number % 2 else (other(), ours())[::-1] for number in range(PAIRS)]
    ratios = [one / two for one, two in pairs]
    low, _, high = quantiles(ratios, n=4)
    times = [median(values) for values in zip(*pairs, strict=True)]
    print(f"{title:<58} {times[0]:>6.3f} {times[1]:>6.3f}  {median(ratios):.3f} ({low:.3f} to {high:.3f})")


def main() -> None:
    environments = Path(sys.argv[1]).absolute()
    print_versions(environments, ["ours", "plain"])
    with_us, without = (python_of(environments, name) for name in ("ours", "plain"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "conf").mkdir()
        (place / "conf" / "config.yaml").write_text("x: 0\n")
        (place / "main.py").write_text(APP)
        sweep = ["-m", "x=1", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", "hydra/callbacks=mlxp_logging"]
        subprocess.run([with_us, "main.py", *sweep], cwd=place, check=True, capture_output=True)
        script = ["bash", str(place / "logs" / "1" / "script.sh")]
        print(f"{'':<58} {'s':>6} {'s':>6}  ratio (quartiles)")

        def plain(python: str) -> Callable[[], float]:
            return lambda: seconds_to_first_line([python, "main.py", "x=1"], place)

        compare("a program that does not use it: installed / not", plain(with_us), plain(without))
        compare("script.sh / python main.py", lambda: seconds_to_first_line(script, place), plain(with_us))


if __name__ == "__main__":
    main()
