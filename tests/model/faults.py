"""A scheduler that fails once: its programs are wrapped by ones that a user's PATH finds first."""

from __future__ import annotations

from pathlib import Path

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "oarsub", "oarstat", "oardel")
# What a program does once. `lost`: it does its work, and its answer is lost
FAULTS = {
    "away": "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1",
    "empty": 'case ${0##*/} in sbatch|oarsub) "$real" "$@" > /dev/null;; esac; exit 0',
    "garbled": """case ${0##*/} in sbatch|oarsub) "$real" "$@" > /dev/null;; esac; echo '{"7" : {'; exit 0""",
    "lost": '"$real" "$@" > /dev/null 2>&1; echo "Socket timed out on send/recv operation" >&2; exit 1',
}


class Faults:
    """The programs, and which of them fails at its next call.

    Attributes:
        programs: Directory of the programs, for PATH.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir(parents=True)
        for name in PROGRAMS:
            cases = "\n".join(f"    {fault}) {code};;" for fault, code in FAULTS.items())
            text = f"""#!/bin/sh
real=/usr/bin/{name}
armed={directory}/{name}
# The one that can rename the file fails
if [ -e "$armed" ] && mv "$armed" "$armed.$$" 2>/dev/null; then
    case $(cat "$armed.$$") in
{cases}
    esac
fi
exec "$real" "$@"
"""
            program = self.programs / name
            program.write_text(text)
            program.chmod(0o755)

    def arm(self, program: str, fault: str) -> None:
        """Let a program fail at its next call."""
        (self._directory / program).write_text(fault)
        self._directory.chmod(0o777)

    def are_armed(self) -> bool:
        """Return whether a program fails at its next call."""
        return any((self._directory / name).exists() for name in PROGRAMS)
