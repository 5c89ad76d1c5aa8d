"""OAR: `oarsub`. The facts in comments were seen on OAR 2.5.9."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlxp_core.config.options import OAROptions
from mlxp_core.errors import OptionError
from mlxp_core.jobs.array_script import Array
from mlxp_core.jobs.script import Job, shell_word
from mlxp_core.schedulers.base import Scheduler, last_bytes
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.schedulers.requeue import Requeue

_LONGEST_NAME = 100
# OAR's states of unfinished jobs; all others mean that the job is running
_STATES = {
    **dict.fromkeys(("Waiting", "toLaunch", "Launching", "Hold", "toAckReservation"), "PENDING"),
    **dict.fromkeys(("Suspended", "Resuming"), "SUSPENDED"),
}
# Time within which OAR creates the new job of a requeued one
_RESUBMISSION_TIMEOUT_S = 60
# Characters that oarsub allows in the values of -O and -E (it also allows `%` and `\`, but replaces them)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./ -]+")


class OARScheduler(Scheduler):
    """OAR."""

    title = "OAR"
    directive_prefix = "#OAR"
    submit_command = ("oarsub", "-S")
    job_id_pattern = r"^OAR_JOB_ID=(\d+)$"
    job_id_variable = "OAR_JOB_ID"
    task_id_expression = '"$1"'
    uses_param_file = True
    list_command = "oarstat -u"
    cancel_command = "oardel"
    job_env_prefixes = ("OAR_",)
    inherits_environment = False
    options_class = OAROptions
    options: OAROptions

    def __init__(self, options: OAROptions) -> None:
        super().__init__(options)
        if options.mem_gb is not None and not options.memory_property:
            raise OptionError(
                "OAR has no memory resource, so hydra.launcher.mem_gb needs hydra.launcher.memory_property: the name "
                "of the site's property with the memory of a node in MB ('oarnodes' lists the properties)."
            )
        if options.array_parallelism is not None:
            raise OptionError(
                "OAR cannot limit the number of concurrent jobs, so it does not support "
                "hydra.launcher.array_parallelism: let runs share jobs instead (100 runs with "
                "hydra.launcher.runs_per_job=25 are 4 jobs, each with hydra.launcher.parallel_runs at a time)."
            )

    def directives(self, job: Job) -> list[str]:
        # OAR does not interpret quotes in a directive: a value extends to the end of the line
        named = _can_name(job.run.path)
        files = [
            f"-E {job.run.stderr if named else '/dev/null'}",
            f"-O {job.run.stdout if named else '/dev/null'}",
        ]
        return [f"-n {job.name or _storable(job.default_name)}", *files, *self._requests()]

    def array_directives(self, array: Array) -> list[str]:
        # The script of a task redirects its output; OAR's own messages go to a file with the job's id
        messages = array.directory / "%jobid%.stderr" if _can_name(array.directory) else "/dev/null"
        return [
            f"-n {array.name or _storable(array.default_name)}",
            f"-E {messages}",
            "-O /dev/null",
            *self._requests(),
            f"--array-param-file {self.script_argument(array.params)}",  # read by a shell, too
        ]

    def array_setup_lines(self, array: Array) -> list[str]:
        lines = ['exec >> "$task"/log.stdout 2>> "$task"/log.stderr']
        if _can_name(array.directory):
            link = 'ln -sf "$task"/log.stderr "$here/$OAR_JOB_ID".stderr'
            return [f"{link}  # OAR writes there why it ends a job", *lines]
        return lines

    def _requests(self) -> list[str]:
        """The directives for the options."""
        options = self.options
        directives = []
        if request := self._resources():
            directives.append(f"-l {request}")
        if properties := self._properties():
            directives.append(f"-p {properties}")
        directives += [f"-q {options.queue}"] if options.queue else []
        directives += [f"--project {options.project}"] if options.project else []
        types = list(options.types)
        if options.max_requeues:
            number = signal.Signals[f"SIG{options.requeue_signal}"].value
            directives += [f"--checkpoint {options.requeue_signal_s}", f"--signal {number}"]
            types += [] if "idempotent" in types else ["idempotent"]
        return directives + [f"-t {job_type}" for job_type in types]

    def _resources(self) -> str:
        """The value of -l: one line, because two are a moldable job, for which OAR chooses one of them."""
        options = self.options
        cores = (options.tasks_per_node or 1) * (options.cpus_per_task or 1)
        asks_cores = options.tasks_per_node is not None or options.cpus_per_task is not None
        gpus = options.gpus_per_node or 0
        path = ""
        if options.nodes is not None or asks_cores or gpus:
            path = f"/nodes={options.nodes or 1}"
        if gpus:
            path += f"/gpu={gpus}"
        if asks_cores:
            path += f"/core={-(-cores // max(gpus, 1))}"  # below a GPU, OAR counts the cores of each
        parts = [path] if path else []
        if options.timeout_min is not None:
            parts.append(f"walltime={options.timeout_min // 60:02}:{options.timeout_min % 60:02}:00")
        return ",".join(parts)

    def _properties(self) -> str:
        """The value of -p, with the memory: OAR uses only the last of several -p lines."""
        options = self.options
        if options.mem_gb is None:
            return options.properties or ""
        memory = f"{options.memory_property} >= {round(options.mem_gb * 1024)}"
        return f"({options.properties}) AND {memory}" if options.properties else memory

    def check(self, job: Job) -> None:
        super().check(job)
        if job.name is not None and job.name != _storable(job.name):
            raise OptionError(
                f"The job name must have at most {_LONGEST_NAME} bytes and no ' or \\ on OAR, got {job.name!r}."
            )

    def check_script(self, script: Path) -> None:
        super().check_script(script)
        if re.search(r"\s", str(script)):
            raise OptionError(
                f"OAR rejects a script with a space in its path: {str(script)!r}. Choose another run directory "
                "(hydra.sweep.dir and hydra.sweep.subdir, or hydra.callbacks.mlxp_logging.parent_log_dir)."
            )

    def requeue(self) -> Requeue:
        # If a job of type idempotent ends with 99 after more than a minute, OAR creates a new one in the same array
        return Requeue("${OAR_ARRAY_ID:-by-hand}", exit_status=99, after_s=60)

    def setup_lines(self, job: Job) -> list[str]:
        if _can_name(job.run.path):
            return []
        return [
            "# A directive cannot name these files: OAR rejects a character of their path in -O and -E.",
            f"exec >> {shell_word(str(job.run.stdout))} 2>> {shell_word(str(job.run.stderr))}",
        ]

    def script_argument(self, script: Path) -> str:
        # oarsub, and later the node, put the path unquoted into a shell command
        return re.sub(r"([^\w/.=,:+@%~^-])", r"\\\1", str(script))

    def states_command(self, job_ids: Sequence[str]) -> list[str]:
        # All jobs of this user that have not ended, and so also scripts that the user submitted by hand
        wanted = [f"(job_user = '{_user()}' and state not in ('Terminated', 'Error'))"]
        if job_ids:
            # A requeued job is another job of the same array; a single job is an array of one
            wanted.append(f"array_id in (select array_id from jobs where job_id in ({','.join(job_ids)}))")
        return ["oarstat", "-fJ", "--sql", " or ".join(wanted)]

    def parse_states(self, output: str) -> dict[str, JobState]:
        starts: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for job in sorted(_jobs(output), key=lambda job: int(job["Job_Id"])):
            starts.setdefault((job["array_id"], job["array_index"]), []).append(job)
        return {str(jobs[0]["Job_Id"]): _state(jobs[-1]) for jobs in starts.values()}

    def find(self, script: Path, tasks: int | None) -> list[str]:
        # A pattern, because the database may contain other characters than these in several forms
        pattern = re.sub(r"[^A-Za-z0-9/.-]+", "%", str(script))
        argv = ["oarstat", "-J", "--sql", f"command like '{pattern}%'"]
        output = self._ask(argv)
        command = self.script_argument(script)
        commands = [command] if tasks is None else [f"{command} {task}" for task in range(tasks)]
        first: dict[str, int] = {}
        with self._readable(argv, output):
            for job in sorted(_jobs(output), key=lambda job: -int(job["Job_Id"])):
                first[str(job["command"])] = int(job["Job_Id"])
        return [str(first[one]) for one in commands if one in first]

    def submission_environment(self) -> dict[str, str]:
        """Set PWD, where the job starts: a directory with a quote in its name makes OAR suspect the node."""
        directory = str(Path.cwd())
        return {**super().submission_environment(), "PWD": directory if _PLAIN_PATH.fullmatch(directory) else "/"}


def _can_name(path: Path) -> bool:
    """Whether OAR accepts a file in this directory for -O and -E."""
    return _PLAIN_PATH.fullmatch(str(path)) is not None


def _jobs(output: str) -> list[dict[str, Any]]:
    """The jobs in the output of `oarstat -J`, which is empty if there are none."""
    return list(json.loads(output).values()) if output.strip() else []


def _state(job: dict[str, Any]) -> JobState:
    """The state of a job in the output of `oarstat -fJ`."""
    events = [event["type"] for event in job["events"]]
    job_id, state, exit_code = str(job["Job_Id"]), job["state"], job["exit_code"]
    if state not in ("Terminated", "Error"):
        return JobState(_STATES.get(state, "RUNNING"), job_id, job.get("message") or "", _script(job))
    if _is_requeued(job) and time.time() - job["stopTime"] < _RESUBMISSION_TIMEOUT_S:
        return JobState("REQUEUED", job_id, "", _script(job))
    if state == "Terminated":
        return JobState("COMPLETED" if exit_code == 0 else "FAILED", job_id)
    reasons = [f"{event['type']}: {event['description']}" for event in job["events"][-1:]]
    for event, name in (("WALLTIME", "TIMEOUT"), ("BESTEFFORT_KILL", "PREEMPTED"), ("FRAG_JOB_REQUEST", "CANCELLED")):
        if event in events:
            return JobState(name, job_id)
    return JobState("FAILED", job_id, "".join(reasons))


def _script(job: dict[str, Any]) -> str:
    """The script that a job runs: the first word of its command, relative to the directory of its submission."""
    try:
        words = shlex.split(job.get("command") or "")
    except ValueError:  # an open quote
        words = []
    return os.path.normpath(os.path.join(job.get("launchingDirectory") or "/", words[0])) if words else ""


def _user() -> str:
    """The name by which OAR knows this user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container
        return str(os.getuid())


def _is_requeued(job: dict[str, Any]) -> bool:
    """Whether OAR creates a new job for one that ended: with exit code 99, or by preemption."""
    exit_code = job["exit_code"]
    requested = exit_code is not None and exit_code >> 8 == 99
    return "idempotent" in job["types"] and (requested or ("besteffort" in job["types"] and job["state"] == "Error"))


def _storable(name: str) -> str:
    """The end of a job name, in a form that OAR can store; a backslash at its end would take the node down."""
    return last_bytes(re.sub(r"['\\]", "_", name), _LONGEST_NAME)
