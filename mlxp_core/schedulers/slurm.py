"""SLURM: `sbatch`. What is said of it here was seen on SLURM 22.05, or stands in the manual page of sbatch."""

from __future__ import annotations

import os
import re
from typing import Any

from mlxp_core.errors import OptionError
from mlxp_core.job_script import Job
from mlxp_core.options import SLURMOptions
from mlxp_core.schedulers.base import Scheduler, last_bytes

# Options of ours that sbatch calls otherwise; the others have its names.
_SBATCH_NAMES = {"timeout_min": "time", "tasks_per_node": "ntasks-per-node"}
_SBATCH_OPTIONS = [
    *("timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "partition", "qos", "account"),
    *("constraint", "gres", "exclude", "comment", "cpus_per_gpu", "gpus_per_task", "mem_per_cpu", "mem_per_gpu"),
]
# Input environment variables of sbatch that are not named as their option
_VARIABLES = {"time": "TIMELIMIT", "mem": "MEM_PER_NODE"}
_LONGEST_NAME = 1024
# What needs no quotes in a directive
_PLAIN = re.compile(r"[\w./:=,@+~^%\[\]{}|&*!-]+", re.ASCII)


class SLURMScheduler(Scheduler):
    """SLURM."""

    title = "SLURM"
    directive_prefix = "#SBATCH"
    submit_command = ("sbatch",)
    job_id_pattern = r"^Submitted batch job (\d+)"
    job_id_variable = "SLURM_JOB_ID"
    list_command = "squeue --me"
    own_variables = ("SLURM_",)
    kept_variables = ("SLURM_CONF",)
    unknown_pattern = r"timed out|Zero Bytes were transmitted"
    options: SLURMOptions

    def directives(self, job: Job) -> list[str]:
        options = self.options
        values: dict[str, Any] = {
            "job-name": job.name or last_bytes(job.default_name, _LONGEST_NAME),
            "output": _file_pattern(str(job.run.stdout)),
            "error": _file_pattern(str(job.run.stderr)),
            "open-mode": "append",  # a run that starts again keeps what it said before
        }
        for name in _SBATCH_OPTIONS:
            values[_SBATCH_NAMES.get(name, name.replace("_", "-"))] = getattr(options, name)
        values["mem"] = _memory(options.mem_gb)
        for name, value in options.additional_parameters.items():
            values[name.replace("_", "-")] = value
        return [_directive(name, value) for name, value in values.items() if value is not None and value is not False]

    def check(self, job: Job) -> None:
        super().check(job)
        if job.name is not None and len(job.name.encode()) > _LONGEST_NAME:
            raise OptionError(f"hydra.launcher.name is longer than SLURM takes ({_LONGEST_NAME} bytes): shorten it.")

    def command_prefix(self) -> list[str]:
        if not self._many_tasks:
            return []
        # Since 22.05 srun does not take --cpus-per-task over from sbatch (manual page of srun). By hand, outside a
        # job, the command runs once; in an interactive step (srun --pty) it shares the step's resources.
        cpus = f" --cpus-per-task={self.options.cpus_per_task}" if self.options.cpus_per_task else ""
        return [f"${{SLURM_JOB_ID:+srun --overlap{cpus}}}"]

    def extra_overrides(self) -> list[str]:
        # Of many tasks the first one alone keeps the run's record.
        return ["'++hydra.callbacks.mlxp_job.task=${oc.env:SLURM_PROCID,0}'"] if self._many_tasks else []

    @property
    def _many_tasks(self) -> bool:
        options = self.options
        return (options.nodes or 1) * (options.tasks_per_node or 1) > 1

    def submission_environment(self, job: Job) -> dict[str, str]:
        """Without SLURM_*, and without the SBATCH_* that would win over a directive (manual page of sbatch).

        Inside a job no SBATCH_* is kept; elsewhere they are defaults of the user or the site.
        """
        environment = super().submission_environment(job)
        named = {name for line in self.all_directives(job) for name in re.findall(r"^--([\w-]+)", line)}
        beaten = {f"SBATCH_{_VARIABLES.get(name, name.replace('-', '_').upper())}" for name in named}
        inside = self.job_id_variable in os.environ
        return {
            name: value
            for name, value in environment.items()
            if not (name in beaten or (inside and name.startswith("SBATCH_")))
        }


def _directive(name: str, value: Any) -> str:
    if value is True:
        return f"--{name}"
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"--{name}={text}"
    # sbatch reads a quoted word as a shell would, but expands nothing in it
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'--{name}="{escaped}"'


def _memory(gigabytes: float | None) -> str | None:
    """In whole units, because sbatch takes no fractions; and never 0, which would ask for all the memory."""
    if gigabytes is None:
        return None
    if gigabytes == int(gigabytes):
        return f"{int(gigabytes)}G"
    return f"{max(1, round(gigabytes * 1024))}M"


def _file_pattern(path: str) -> str:
    """A path with nothing in it that sbatch would replace (`%j`); a backslash switches the replacing off."""
    return path.replace("\\", "\\\\") if "\\" in path else path.replace("%", "%%")
