"""OAR: `oarsub`. What is said of it here was seen on OAR 2.5.9."""

from __future__ import annotations

import re
from pathlib import Path

from mlxp_core.errors import OptionError
from mlxp_core.job_script import Job, shell_word
from mlxp_core.options import OAROptions
from mlxp_core.schedulers.base import Scheduler, last_bytes

_LONGEST_NAME = 100
# What oarsub allows in the values of -O and -E (it also allows `%` and `\`, but replaces them)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./ -]+")


class OARScheduler(Scheduler):
    """OAR."""

    title = "OAR"
    directive_prefix = "#OAR"
    submit_command = ("oarsub", "-S")
    job_id_pattern = r"^OAR_JOB_ID=(\d+)$"
    job_id_variable = "OAR_JOB_ID"
    list_command = "oarstat -u"
    own_variables = ("OAR_",)
    inherits_environment = False
    options: OAROptions

    def __init__(self, options: OAROptions) -> None:
        super().__init__(options)
        if options.mem_gb is not None and not options.memory_property:
            raise OptionError(
                "OAR has no memory resource, so hydra.launcher.mem_gb needs hydra.launcher.memory_property: the name "
                "of the site's property that holds a node's memory in MB ('oarnodes' lists them)."
            )

    def directives(self, job: Job) -> list[str]:
        options = self.options
        directives = [f"-n {job.name or _storable(job.default_name)}"]
        # OAR reads no quotes in a directive: each value is taken as it is, up to the end of the line.
        for flag, path in (("-E", job.run.stderr), ("-O", job.run.stdout)):
            directives.append(f"{flag} {path if self._names_output(job) else '/dev/null'}")
        if request := self._resources():
            directives.append(f"-l {request}")
        if properties := self._properties():
            directives.append(f"-p {properties}")
        directives += [f"-q {options.queue}"] if options.queue else []
        directives += [f"--project {options.project}"] if options.project else []
        return directives + [f"-t {job_type}" for job_type in options.types]

    def _resources(self) -> str:
        """The one -l line: two would be a moldable job, of which OAR runs either."""
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
        """The -p expression, memory included: of several -p lines OAR takes the last alone."""
        options = self.options
        if options.mem_gb is None:
            return options.properties or ""
        memory = f"{options.memory_property} >= {round(options.mem_gb * 1024)}"
        return f"({options.properties}) AND {memory}" if options.properties else memory

    def check(self, job: Job) -> None:
        super().check(job)
        path = str(job.run.script)
        if re.search(r"\s", path):
            raise OptionError(
                f"OAR cannot take a script whose path has a blank: {path!r}. Choose another run directory "
                "(hydra.sweep.dir and hydra.sweep.subdir, or hydra.callbacks.mlxp_logging.parent_log_dir)."
            )
        if job.name is not None and job.name != _storable(job.name):
            raise OptionError(
                f"OAR cannot store the job name {job.name!r}: hydra.launcher.name may have {_LONGEST_NAME} bytes "
                "and no ' or \\ in it."
            )

    def setup_lines(self, job: Job) -> list[str]:
        if self._names_output(job):
            return []
        return [
            "# OAR cannot name these files itself: their path has a letter that it refuses in -O and -E.",
            f"exec >> {shell_word(str(job.run.stdout))} 2>> {shell_word(str(job.run.stderr))}",
        ]

    def _names_output(self, job: Job) -> bool:
        return _PLAIN_PATH.fullmatch(str(job.run.path)) is not None

    def script_argument(self, job: Job) -> str:
        # oarsub, and later the node, put the path into a shell command as it is.
        return re.sub(r"([^\w/.=,:+@%~^-])", r"\\\1", str(job.run.script))

    def submission_environment(self, job: Job) -> dict[str, str]:
        """The job starts where PWD says, and a directory with a quote in its name makes OAR suspect the node."""
        directory = str(Path.cwd())
        return {**super().submission_environment(job), "PWD": directory if _PLAIN_PATH.fullmatch(directory) else "/"}


def _storable(name: str) -> str:
    """The end of a job name, in a form that OAR can store; with a backslash at its end a name takes the node down."""
    return last_bytes(re.sub(r"['\\]", "_", name), _LONGEST_NAME)
