"""What a user does beside the package: with the scheduler's commands, with git, and with files."""

from __future__ import annotations

import os
import signal
from typing import Literal

from tests.model.invariants import agree
from tests.model.world import World, step


class Beside(World):
    """The steps of a user that the package does not see."""

    def _call(self, *argv: str) -> str:
        result = self.note(" ".join(argv), self.project.call(*argv))
        return result.text

    @step
    def wait(self) -> None:
        """Wait until jobs neither start nor end."""
        agree(self, is_patient=True)

    @step
    def finish(self, run: str, word: Literal["short", "fail"] = "short") -> None:
        """Let a long run end by itself."""
        for start in self.live(run):
            self.diary.end(start, word)

    @step
    def submit_by_hand(self, run: str) -> None:
        """Submit the script of a run."""
        script = str(self.logs / run / "script.sh")
        self.allowed[run] += 1
        self._call(*{"slurm": ("sbatch", script), "oar": ("oarsub", "-S", script)}[self.cluster.launcher])

    @step
    def start_by_hand(self, run: str) -> None:
        """Start the script of a run in another terminal."""
        self.allowed[run] += 1
        self.in_background("bash", str(self.logs / run / "script.sh"))

    @step
    def cancel_jobs(self, run: str) -> None:
        """End the jobs of a run by the scheduler's command."""
        names = [job.name for job in self.jobs_of(run)]
        self.kills(run)
        if names:
            self._call({"slurm": "scancel", "oar": "oardel"}[self.cluster.launcher], *names)
        self.kills(run)

    @step
    def kill(self, run: str) -> None:
        """Kill the process of a run."""
        self.kills(run)
        for start in self.live(run):
            os.kill(start.process, signal.SIGKILL)

    @step
    def requeue(self, run: str) -> None:
        """Let SLURM end a job and start it again."""
        active = [job for job in self.jobs_of(run) if job.state == "ACTIVE" and self.cluster.launcher == "slurm"]
        for job in active:
            self.kills(run)
            self.allowed[run] += 1
            self._call("scontrol", "requeue", job.name)
            self.kills(run)

    @step
    def hold(self, run: str) -> None:
        """Hold the pending jobs of a run."""
        command = {"slurm": ("scontrol", "hold"), "oar": ("oarhold",)}[self.cluster.launcher]
        for job in self.jobs_of(run):
            if job.state == "PENDING":
                self._call(*command, job.name)

    @step
    def release(self, run: str) -> None:
        """Release the held jobs of a run."""
        command = {"slurm": ("scontrol", "release"), "oar": ("oarresume",)}[self.cluster.launcher]
        for job in self.jobs_of(run):
            if job.is_held:
                self._call(*command, job.name)

    @step
    def edit(self, value: int) -> None:
        """Edit the code."""
        self.project.write("answer.py", f"VALUE = {value}\n")
        self.user_changed_git()

    @step
    def stage(self) -> None:
        """Add all changes to the index."""
        self.project.git("add", "-A")
        self.user_changed_git()

    @step
    def commit(self) -> None:
        """Commit all changes."""
        self.project.git("add", "-A")
        self.project.git("commit", "-q", "--allow-empty", "-m", "a commit")
        self.user_changed_git()

    @step
    def checkout(self, back: int) -> None:
        """Check out an earlier commit of main, or main, with changes set aside."""
        self.project.git("stash", "-q")
        count = int(self.project.git("rev-list", "--count", "main"))
        self.project.git("checkout", "-q", f"main~{back % count}" if back else "main")
        self.user_changed_git()

    @step
    def write_note(self, run: str) -> None:
        """Write a file into the directory of a run."""
        note = self.project.write(f"logs/{run}/note-{len(self.files)}.txt", "seen")
        self.files.add(note)

    @step
    def write_note_in_copies(self, directory: str = "") -> None:
        """Write a file into each safe copy."""
        for copy in self.project.copies():
            name = str((copy / directory / f"note-{len(self.files)}.txt").relative_to(self.project.directory))
            self.files.add(self.project.write(name, "seen"))

    @step
    def move(self, name: Literal["logs", ".workdir"]) -> None:
        """Move a directory to another place, and leave a link to it; or move it back."""
        path, place = self.project.directory / name, self.base / f"moved-{name.strip('.')}"
        if path.is_symlink():
            path.unlink()
            place.rename(path)
        elif path.exists():
            path.rename(place)
            path.symlink_to(place)
            os.chown(path, path.stat().st_uid, path.stat().st_gid, follow_symlinks=False)

    @step
    def remove_run(self, run: str) -> None:
        """Delete the directory of a run, whatever it does."""
        self.removed.add(run)
        self._call("rm", "-rf", str(self.logs / run))
