"""SLURM: `sbatch`. What is said of it here was seen on SLURM 22.05, or stands in the manual page of sbatch."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mlxp_core.config.options import SLURMOptions, lines_of
from mlxp_core.errors import OptionError, SchedulerUnavailableError
from mlxp_core.jobs.array_script import Array
from mlxp_core.jobs.script import Job
from mlxp_core.schedulers.base import Scheduler, last_bytes
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.schedulers.requeue import Requeue
from mlxp_core.schedulers.sbatch_syntax import directive, file_pattern, memory

# Options of ours that sbatch calls otherwise; the others have its names.
_SBATCH_NAMES = {"timeout_min": "time", "tasks_per_node": "ntasks-per-node"}
_SBATCH_OPTIONS = [
    *("timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "partition", "qos", "account"),
    *("constraint", "gres", "exclude", "comment", "cpus_per_gpu", "gpus_per_task", "mem_per_cpu", "mem_per_gpu"),
]
# Input environment variables of sbatch that are not named as their option
_VARIABLES = {"time": "TIMELIMIT", "mem": "MEM_PER_NODE"}
_LONGEST_NAME = 1024
# The default of MaxArraySize, less one
_USUAL_ARRAY_SIZE = 1000


class SLURMScheduler(Scheduler):
    """SLURM."""

    title = "SLURM"
    directive_prefix = "#SBATCH"
    submit_command = ("sbatch",)
    job_id_pattern = r"^Submitted batch job (\d+)"
    job_id_variable = "SLURM_JOB_ID"
    task_id_expression = '"$SLURM_ARRAY_TASK_ID"'
    list_command = "squeue --me"
    cancel_command = "scancel"
    job_env_prefixes = ("SLURM_",)
    preserved_env = ("SLURM_CONF",)
    ambiguous_pattern = r"timed out|Zero Bytes were transmitted"
    # Limits of queued jobs: AssocMaxSubmitJobLimit, QOSMaxSubmitJobPerUserLimit, AssocGrpSubmitJobsLimit ... (the words
    # "job submit limit" behind them come with every limit); the others come while the controller starts or is full
    retryable_pattern = (
        r"MaxSubmitJob|GrpSubmitJobs|Unable to contact slurm controller|temporarily|try again|"
        r"Address already in use|in standby mode|Unable to allocate resources: Access|SlurmDBD connection"
    )
    options_class = SLURMOptions
    options: SLURMOptions

    def directives(self, job: Job) -> list[str]:
        name = job.name or last_bytes(job.default_name, _LONGEST_NAME)
        return self._directives(name, file_pattern(str(job.run.stdout)), file_pattern(str(job.run.stderr)))

    def array_directives(self, array: Array) -> list[str]:
        name = array.name or last_bytes(array.default_name, _LONGEST_NAME)
        # In the task's directory, also what SLURM says of it; a path with a backslash can hold no %a (file_pattern).
        place = str(array.directory)
        stdout, stderr = ("/dev/null",) * 2 if "\\" in place else (
            f"{file_pattern(place)}/%a/{file}" for file in ("log.stdout", "log.stderr")
        )  # fmt: skip
        limit = f"%{array.parallel_tasks}" if array.parallel_tasks else ""
        return [*self._directives(name, stdout, stderr), f"--array=0-{array.tasks - 1}{limit}"]

    def array_setup_lines(self, array: Array) -> list[str]:
        if "\\" not in str(array.directory):
            return []
        return ['exec >> "$task"/log.stdout 2>> "$task"/log.stderr']

    def _directives(self, name: str, stdout: str, stderr: str) -> list[str]:
        """What a job and an array have in common; the files as patterns of sbatch."""
        options = self.options
        values: dict[str, Any] = {
            "job-name": name,
            "output": stdout,
            "error": stderr,
            "open-mode": "append",  # a run that starts again keeps what it said before
        }
        for name in _SBATCH_OPTIONS:
            values[_SBATCH_NAMES.get(name, name.replace("_", "-"))] = getattr(options, name)
        values["mem"] = memory(options.mem_gb)
        if options.max_requeues:
            values["requeue"] = True
            # To the script's shell alone, and from there to the application
            values["signal"] = f"B:{options.requeue_signal}@{options.requeue_signal_s}"
        for name, value in options.additional_parameters.items():
            values[name.replace("_", "-")] = value
        return [directive(name, value) for name, value in values.items() if value is not None and value is not False]

    def requeue(self) -> Requeue:
        # The number of an array's last task is that of the array, and would start them all again: not SLURM_JOB_ID.
        # SLURM may tell a job a minute too early (manual page of sbatch, --signal).
        return Requeue(self.own_job_id, command="scontrol requeue", after_s=60)

    def check(self, job: Job) -> None:
        super().check(job)
        for name in self.options.additional_parameters if self.options.max_requeues else ():
            if name.replace("_", "-") in ("signal", "requeue", "no-requeue"):
                raise OptionError(
                    f"hydra.launcher.additional_parameters.{name} and hydra.launcher.max_requeues do not go together: "
                    "remove one of them (requeue_signal and requeue_signal_s say which signal, and when)."
                )
        if job.name is not None and len(job.name.encode()) > _LONGEST_NAME:
            raise OptionError(f"The job name is longer than SLURM takes ({_LONGEST_NAME} bytes): shorten it.")

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

    @property
    def own_job_id(self) -> str:
        """As squeue and sacct show it: `7`, `8_0` for a task of an array."""
        task = "${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
        return "${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-by-hand}}" + task

    def parse_job_ids(self, output: str, tasks: int | None) -> list[str]:
        return _task_ids(super().parse_job_ids(output, tasks)[:1], tasks)

    def dependency_arguments(self, job_ids: Sequence[str]) -> list[str]:
        return [f"--dependency=afterany:{':'.join(_bases(job_ids))}"]

    def ask_max_array_size(self) -> int | None:
        try:
            config = self._ask(["scontrol", "show", "config"])
        except SchedulerUnavailableError:  # the submission will meet that, too, and is tried again
            return _USUAL_ARRAY_SIZE
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
        return int(found[1]) if found else None

    def states_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r", "-j", ",".join(_bases(job_ids))]

    def parse_states(self, output: str) -> dict[str, JobState]:
        states = {}
        for line in output.splitlines():
            job_id, state, reason = (*line.split("|"), "", "")[:3]
            # sacct: `CANCELLED by 1000`
            states[job_id] = JobState(state.split()[0] if state else "", job_id, "" if reason == "None" else reason)
        return states

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        # One job that squeue has forgotten (MinJobAge after its end) is an error, one of several is left out
        known = self.parse_states(self._ask(self.states_command(job_ids), "Invalid job id"))
        forgotten = [job_id for job_id in job_ids if job_id not in known]
        if forgotten:
            rows = self.parse_states(self._accounting("-j", ",".join(_bases(forgotten)), "-o", "JobID,State"))
            # Tasks that started have rows of their own; the others share one, `8` or `8_[2-5]`, while they wait and
            # when they are cancelled as a whole. One that is cancelled while others wait leaves it, and gets none
            arrays = set(_bases(rows))
            for job_id in forgotten:
                if job_id in rows:
                    known[job_id] = rows[job_id]
                elif "_" in job_id and job_id.partition("_")[0] in arrays:
                    known[job_id] = JobState("CANCELLED", job_id)
        return known

    def find(self, script: Path, tasks: int | None) -> list[str]:
        rows = self._ask(["squeue", "--me", "-h", "-t", "all", "-o", "%F|%o"]).splitlines()
        found = [row.partition("|")[0] for row in rows if row.partition("|")[2].strip() == str(script)]
        if not found:
            # As early as the script itself, and a day more for clocks that differ
            since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(script.lstat().st_mtime - 86400))
            rows = self._accounting("-u", str(os.getuid()), "-S", since, "-o", "JobID,SubmitLine").splitlines()
            found = [re.split(r"[|_]", row)[0] for row in rows if row.endswith(str(script))]
        return _task_ids(found[:1], tasks)

    def cancel_arguments(self, job_ids: Sequence[str]) -> list[str]:
        # One word for all tasks of an array is one request for the controller
        arrays: dict[str, list[str]] = {}
        for base, _, task in (job_id.partition("_") for job_id in dict.fromkeys(job_ids)):
            arrays.setdefault(base, []).append(task)
        return [f"{base}_[{','.join(tasks)}]" if tasks[0] else base for base, tasks in arrays.items()]

    def _accounting(self, *arguments: str) -> str:
        """What sacct says; nothing where a site keeps no accounts, or they are out of reach."""
        try:
            return self._ask(["sacct", "-X", "-n", "-P", *arguments])
        except SchedulerUnavailableError:
            return ""

    def submission_environment(self) -> dict[str, str]:
        """Without SLURM_*, and without the SBATCH_* that would win over a directive (manual page of sbatch).

        Inside a job no SBATCH_* is kept; elsewhere they are defaults of the user or the site.
        """
        environment = super().submission_environment()
        lines = [*self._directives("", "", ""), *lines_of("option_cmd", self.options.option_cmd)]
        named = {name for line in lines for name in re.findall(r"^--([\w-]+)", line)} | {"array"}
        if "requeue" in named:
            named.add("no-requeue")
        beaten = {f"SBATCH_{_VARIABLES.get(name, name.replace('-', '_').upper())}" for name in named}
        inside = self.job_id_variable in os.environ
        return {
            name: value
            for name, value in environment.items()
            if not (name in beaten or (inside and name.startswith("SBATCH_")))
        }


def _task_ids(base: Sequence[str], tasks: int | None) -> list[str]:
    """The ids of all tasks of an array, or of the one job, whose id is known."""
    return list(base) if tasks is None else [f"{job_id}_{task}" for job_id in base for task in range(tasks)]


def _bases(job_ids: Iterable[str]) -> list[str]:
    """The ids of jobs and whole arrays, each once."""
    return list(dict.fromkeys(job_id.partition("_")[0] for job_id in job_ids))
