"""The application of the model, and its diary: what each start did, written where the package does not look."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A start writes a line when it begins and one when it ends by itself. A long run waits for a file that says how to end
MAIN = """
import json, os, sys, time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

import answer

DIARY = Path("@DIARY@")
ME = {"process": os.getpid(), "ticks": int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])}


def write(**line):
    with open(DIARY / "starts", "ab", buffering=0) as file:
        file.write((json.dumps({**line, **ME}) + "\\n").encode())


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    run = Path(HydraConfig.get().runtime.output_dir)
    job = os.environ.get("SLURM_JOB_ID") or os.environ.get("OAR_JOB_ID")
    write(event="start", run=run.name, job=job, time=time.time(), value=answer.VALUE, file=answer.__file__)
    result = run / "artifacts" / "result-{process}-{ticks}".format(**ME)
    result.parent.mkdir(exist_ok=True)
    result.write_text("a result")
    word, end = config.kind, DIARY / "end-{process}-{ticks}".format(**ME)
    while word == "long":
        time.sleep(0.1)
        if end.exists():
            word = end.read_text() or word
        if not DIARY.exists():
            sys.exit("The test has ended.")
    write(event=word, run=run.name)
    if word == "fail":
        raise ValueError("asked to fail")


if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True)
class Start:
    """One start of the application.

    Attributes:
        run: Number of the run.
        process: Process id.
        ticks: When the process began, in the kernel's clock ticks.
        job: The scheduler's id of the job; None outside of jobs.
        time: When it began, in seconds since 1970.
        value: What the code that ran says.
        file: The file of that code.
        end: "short" or "fail" if it ended by itself; None otherwise.
        is_alive: Whether the process exists.
    """

    run: str
    process: int
    ticks: int
    job: str | None
    time: float
    value: int
    file: str
    end: str | None
    is_alive: bool

    @property
    def result(self) -> str:
        """Name of the file that it wrote."""
        return f"result-{self.process}-{self.ticks}"


class Diary:
    """The diary of all starts, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def starts(self) -> list[Start]:
        """Return all starts, in their order."""
        starts = [line for line in self._lines() if line["event"] == "start"]
        alive = [is_alive(line["process"], line["ticks"]) for line in starts]
        # Read after the processes were looked at: one that is gone has written its end before
        ends = {(line["process"], line["ticks"]): line["event"] for line in self._lines() if line["event"] != "start"}
        return [
            Start(
                **{name: value for name, value in line.items() if name != "event"},
                end=ends.get((line["process"], line["ticks"])),
                is_alive=one_is_alive,
            )
            for line, one_is_alive in zip(starts, alive, strict=True)
        ]

    def _lines(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in (self.directory / "starts").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def of(self, run: str) -> list[Start]:
        """Return the starts of a run, in their order."""
        return [start for start in self.starts() if start.run == run]

    def end(self, start: Start, word: str) -> None:
        """Let a long run end: "short" for success, or "fail"."""
        (self.directory / f"end-{start.process}-{start.ticks}").write_text(word)


def is_alive(process: int, ticks: int) -> bool:
    """Return whether a process exists that began at that time, and has not ended."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(words[19]) == ticks and words[0] not in "ZX"
