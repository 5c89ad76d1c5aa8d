"""SLURM: `sbatch`. The facts in comments were seen on SLURM 22.05 or come from the manual page of sbatch."""

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
from mlxp_core.jobs.script import Job, shell_word
from mlxp_core.schedulers.base import Scheduler, last_bytes
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.schedulers.requeue import Requeue
from mlxp_core.schedulers.sbatch_syntax import directive, file_pattern, memory

# Options with another name than sbatch's
_SBATCH_NAMES = {"timeout_min": "time", "tasks_per_node": "ntasks-per-node"}
_SBATCH_OPTIONS = [
    *("timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "partition", "qos", "account"),
    *("constraint", "gres", "exclude", "comment", "cpus_per_gpu", "gpus_per_task", "mem_per_cpu", "mem_per_gpu"),
]
# Input environment variables of sbatch that are not named after their option
_VARIABLES = {"time": "TIMELIMIT", "mem": "MEM_PER_NODE"}
_SACCT = ("sacct", "-X", "-n", "-P")
_LONGEST_NAME = 1024
# One line for each job and task: its id, state, reason and script
_SQUEUE = ("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%o")
# One less than the default of MaxArraySize
_DEFAULT_ARRAY_SIZE = 1000


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
    # "job submit limit" after them come with every limit); the others appear while the controller starts or is full
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
        # In the task's directory, where SLURM's own messages go too; a path with a backslash cannot contain %a
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
        """The directives that jobs and arrays have in common; the files are patterns of sbatch."""
        options = self.options
        values: dict[str, Any] = {
            "job-name": name,
            "output": stdout,
            "error": stderr,
            "open-mode": "append",  # a requeued run keeps its output
        }
        for name in _SBATCH_OPTIONS:
            values[_SBATCH_NAMES.get(name, name.replace("_", "-"))] = getattr(options, name)
        values["mem"] = memory(options.mem_gb)
        if options.max_requeues:
            values["requeue"] = True
            # Only to the script's shell, and from there to the application
            values["signal"] = f"B:{options.requeue_signal}@{options.requeue_signal_s}"
        for name, value in options.additional_parameters.items():
            values[name.replace("_", "-")] = value
        return [directive(name, value) for name, value in values.items() if value is not None and value is not False]

    def requeue(self) -> Requeue:
        # Not SLURM_JOB_ID: that of an array's last task is the id of the array, and would requeue all tasks.
        # SLURM may send the signal a minute early (manual page of sbatch, --signal).
        return Requeue(self.own_job_id, command="scontrol requeue", after_s=60)

    def check(self, job: Job) -> None:
        super().check(job)
        for name in self.options.additional_parameters if self.options.max_requeues else ():
            if name.replace("_", "-") in ("signal", "requeue", "no-requeue"):
                raise OptionError(
                    f"hydra.launcher.additional_parameters.{name} cannot be combined with hydra.launcher.max_requeues: "
                    "remove one of them (requeue_signal and requeue_signal_s set the signal and its time)."
                )
        if job.name is not None and len(job.name.encode()) > _LONGEST_NAME:
            raise OptionError(
                f"The job name must have at most {_LONGEST_NAME} bytes on SLURM, got {len(job.name.encode())}."
            )

    def setup_lines(self, job: Job) -> list[str]:
        if not self._many_tasks:
            return []
        python = shell_word(job.app.argv[0])
        port = 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
        return [
            "# For torch.distributed: an address and a free port of this run, and the rank of each task.",
            'if [ "$SLURM_JOB_ID" ]; then',
            "    first_host=127.0.0.1",
            '    if [ "$SLURM_JOB_NUM_NODES" != 1 ]; then',
            '        first_host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "    fi",
            '    export MASTER_ADDR="${MASTER_ADDR:-$first_host}"',
            f"    export MASTER_PORT=\"${{MASTER_PORT:-$({python} -S -c '{port}')}}\"",
            f"    export LOCAL_WORLD_SIZE={self.options.tasks_per_node or 1}",
            "fi",
            "as_task='export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID NODE_RANK=$SLURM_NODEID "
            'WORLD_SIZE=$SLURM_NTASKS; exec "$@"\'',
        ]

    def command_prefix(self) -> list[str]:
        if not self._many_tasks:
            return []
        # Since 22.05 srun does not inherit --cpus-per-task from sbatch (manual page of srun). By hand, outside of a
        # job, the command runs once; in an interactive step (srun --pty) it shares the step's resources.
        cpus = f" --cpus-per-task={self.options.cpus_per_task}" if self.options.cpus_per_task else ""
        return [f'${{SLURM_JOB_ID:+srun --overlap{cpus} sh -c "$as_task" sh}}']

    @property
    def _many_tasks(self) -> bool:
        options = self.options
        return (options.nodes or 1) * (options.tasks_per_node or 1) > 1

    @property
    def own_job_id(self) -> str:
        """The id in squeue and sacct: `7`, or `8_0` for a task of an array."""
        task = "${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
        return "${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-by-hand}}" + task

    def parse_job_ids(self, output: str, tasks: int | None) -> list[str]:
        return _task_ids(super().parse_job_ids(output, tasks)[:1], tasks)

    def dependency_arguments(self, job_ids: Sequence[str]) -> list[str]:
        return [f"--dependency=afterany:{':'.join(_bases(job_ids))}"]

    def ask_max_array_size(self) -> int | None:
        try:
            config = self._ask(["scontrol", "show", "config"])
        except SchedulerUnavailableError:  # the submission meets the same error, and is retried
            return _DEFAULT_ARRAY_SIZE
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
        return int(found[1]) if found else None

    def states_command(self, job_ids: Sequence[str]) -> list[str]:
        # All jobs of this user, and so also scripts that the user submitted by hand
        return [*_SQUEUE, "--me"]

    def parse_states(self, output: str) -> dict[str, JobState]:
        if output and not re.match(r"\d[^|\n]*\|[A-Z_]+\b[^\0]*\n$", output):
            raise ValueError("not the output of squeue or sacct, or cut off")
        states = {}
        for line in output.splitlines():
            job_id, state, reason, script = (*line.split("|", 3), "", "", "")[:4]
            # sacct: `CANCELLED by 1000`
            name = state.split()[0] if state else ""
            states[job_id] = JobState(name, job_id, "" if reason == "None" else reason, script.strip())
        return states

    def query_states(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        known = super().query_states(job_ids)
        # Those that squeue has forgotten (MinJobAge after their end), and those of other users
        if forgotten := [job_id for job_id in job_ids if job_id not in known]:
            known |= self._accounted(forgotten)
        if others := [job_id for job_id in job_ids if job_id not in known]:
            # For a single job that it has forgotten, squeue ends with an error; one of several it leaves out
            known |= self._ask_states([*_SQUEUE, "-j", ",".join(_bases(others))], "Invalid job id")
        return known

    def _accounted(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of jobs from the accounting, as far as it has them."""
        try:
            rows = self._ask_states([*_SACCT, "-j", ",".join(_bases(job_ids)), "-o", "JobID,State"])
        except SchedulerUnavailableError:  # a site without accounting
            return {}
        # Tasks that started have rows of their own. The others share one row, `8` or `8_[2-5]`, while they are
        # pending and when they are cancelled together. A task cancelled while others are pending has no row
        arrays = set(_bases(rows))
        states = {}
        for job_id in job_ids:
            if job_id in rows:
                states[job_id] = rows[job_id]
            elif "_" in job_id and job_id.partition("_")[0] in arrays:
                states[job_id] = JobState("CANCELLED", job_id, is_inferred=True)
        return states

    def find(self, script: Path, tasks: int | None) -> list[str]:
        rows = self._ask(["squeue", "--me", "-h", "-t", "all", "-o", "%F|%o"]).splitlines()
        found = [row.partition("|")[0] for row in rows if row.partition("|")[2].strip() == str(script)]
        if not found:
            # From the time of the script, and a day earlier for clocks that differ
            since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(script.lstat().st_mtime - 86400))
            rows = self._accounting("-u", str(os.getuid()), "-S", since, "-o", "JobID,SubmitLine").splitlines()
            found = [re.split(r"[|_]", row)[0] for row in rows if row.endswith(str(script))]
        return _task_ids(found[:1], tasks)

    def cancel_arguments(self, job_ids: Sequence[str]) -> list[str]:
        # One word for all tasks of an array makes one request to the controller
        arrays: dict[str, list[str]] = {}
        for base, _, task in (job_id.partition("_") for job_id in dict.fromkeys(job_ids)):
            arrays.setdefault(base, []).append(task)
        return [f"{base}_[{','.join(tasks)}]" if tasks[0] else base for base, tasks in arrays.items()]

    def _accounting(self, *arguments: str) -> str:
        """Return what sacct prints; nothing where a site has no accounting, or it is not available."""
        try:
            return self._ask([*_SACCT, *arguments])
        except SchedulerUnavailableError:
            return ""

    def submission_environment(self) -> dict[str, str]:
        """Remove SLURM_*, and the SBATCH_* that would override a directive (manual page of sbatch).

        Inside a job all SBATCH_* are removed; elsewhere they are defaults of the user or the site.
        """
        environment = super().submission_environment()
        lines = [*self._directives("", "", ""), *lines_of("option_cmd", self.options.option_cmd)]
        named = {name for line in lines for name in re.findall(r"^--([\w-]+)", line)} | {"array"}
        if "requeue" in named:
            named.add("no-requeue")
        overriding = {f"SBATCH_{_VARIABLES.get(name, name.replace('-', '_').upper())}" for name in named}
        inside = self.job_id_variable in os.environ
        return {
            name: value
            for name, value in environment.items()
            if not (name in overriding or (inside and name.startswith("SBATCH_")))
        }


def _task_ids(base: Sequence[str], tasks: int | None) -> list[str]:
    """The ids of all tasks of an array, or the id of a single job; `base` has at most one id."""
    return list(base) if tasks is None else [f"{job_id}_{task}" for job_id in base for task in range(tasks)]


def _bases(job_ids: Iterable[str]) -> list[str]:
    """The ids of jobs and of whole arrays, without duplicates."""
    return list(dict.fromkeys(job_id.partition("_")[0] for job_id in job_ids))
