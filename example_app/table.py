"""Print the results of numbered runs: `python table.py logs`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table


def main(logs: Path) -> None:
    table = Table("run", "overrides", "test accuracy")
    for run in sorted((path for path in logs.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)):
        overrides = yaml.safe_load((run / "metadata" / "overrides.yaml").read_text())
        results = json.loads((run / "results.json").read_text())
        table.add_row(str(run), " ".join(overrides), f"{results['test_accuracy']:.4f}")
    Console().print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
