"""Scheduler classes of users: PBS from the documentation with a real qsub, and classes with errors."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import yaml

from mlxp_core.config.options import BatchOptions
from mlxp_core.errors import AnswerUnreadableError, CommandError, OptionError
from mlxp_core.jobs.app_command import AppCommand
from mlxp_core.launch.plan import Plan
from mlxp_core.launch.resume import scheduler_of
from mlxp_core.schedulers import OARScheduler, Scheduler, SLURMScheduler, load_scheduler
from mlxp_core.schedulers.class_errors import class_errors_reported
from tests.clusters import REPOSITORY, Cluster
from tests.programs import LOGGING, App, Result, info
from tests.support.cli import mlxp, statuses_in_order
from tests.support.jobs import a_job

PAGE = REPOSITORY / "docs" / "custom-schedulers.md"
(PBS,) = re.findall(r"```python\n(import shlex\n.*?)```", PAGE.read_text(), re.DOTALL)


def launcher(name: str) -> list[str]:
    """Overrides that choose a scheduler class."""
    return ["hydra/launcher=mlxp", f"hydra.launcher.name={name}"]


def install(app: App, text: str = PBS) -> App:
    """Add a scheduler class to an application."""
    app.write("pbs.py", text)
    return app


def pbs_shell(app: App) -> str:
    """An override for Debian's qsub, a front of SLURM's: its jobs find their ids where PBS puts them."""
    shell = app.write("pbs-shell", '#!/bin/sh\nPBS_JOBID=$SLURM_JOB_ID exec bash "$@"\n')
    shell.chmod(0o755)
    return f"hydra.launcher.shell_path={shell}"


def resume(app: App) -> Result:
    """Run `mlxp resume` in another directory than the application's."""
    elsewhere = App(Path("/"), app.python, app.environment, app.user)
    return elsewhere.call(str(Path(app.python).with_name("mlxp")), "resume", str(app.directory / "logs"))


def assert_each_ran_once(slurm: Cluster, app: App, number: int) -> None:
    """Wait for runs 1 to `number`, and check that each was submitted, recorded and run exactly once."""
    job_ids = slurm.job_ids(app)
    assert slurm.wait(job_ids) == ["COMPLETED"] * number
    for run in range(1, number + 1):
        assert (app.directory / f"logs/{run}/log.stdout").read_text().count("a line on stdout") == 1
    nothing = resume(app)
    assert nothing.stdout.startswith("Nothing to resume"), nothing.text


def test_the_class_is_short() -> None:
    assert len(PBS.splitlines()) <= 25


@pytest.mark.once
def test_pbs_runs_the_example(slurm: Cluster, tmp_path: Path) -> None:
    app = install(slurm.example("custom-example"))
    shell = pbs_shell(app)
    before = set(app.directory.iterdir())
    options = ["hydra.launcher.timeout_min=65", "hydra.launcher.cpus_per_task=2"]
    result = app.sweep(*launcher("pbs.PBSScheduler"), LOGGING, shell, *options, "model=linear,mlp")
    job_ids = slurm.job_ids(app)
    assert result.stdout.startswith(f"Submitting 2 runs to PBS:\n  logs/1  job {job_ids[0]}  model=linear\n")
    assert "See the jobs with 'qstat'" in result.stdout
    assert slurm.wait(job_ids) == ["COMPLETED"] * 2
    for number, job_id in zip("12", job_ids, strict=True):
        run = app.directory / "logs" / number
        assert info(run)["status"] == "COMPLETE"
        assert info(run)["scheduler"] == {"name": "PBSScheduler", "scheduler_job_id": job_id}
        assert "accuracy" in (run / "log.stdout").read_text() + (run / "log.stderr").read_text()
        job = subprocess.run(["scontrol", "show", "job", job_id], check=True, capture_output=True, text=True).stdout
        assert all(said in job for said in (f"JobName=logs-{number}", "TimeLimit=01:05:00", "NumCPUs=2"))
    app.sweep(*launcher("pbs.PBSScheduler"), LOGGING, "seed=3", "hydra.launcher.option_cmd=['-h']")
    job_id = slurm.job_ids(app)[-1]
    assert app.call(*shlex.split(load_class(tmp_path, PBS).cancel_command), job_id).status == 0
    assert slurm.wait([job_id]) == ["CANCELLED"]
    # No output file of qsub's own
    assert {path.name for path in set(app.directory.iterdir()) - before} == {"logs", "__pycache__"}


MORE = """

class ArrayPBS(PBSScheduler):
    task_id_expression = '"$SLURM_ARRAY_TASK_ID"'
    cancel_command = "scancel"

    @property
    def own_job_id(self):
        return "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"

    def array_directives(self, array):
        return [f"-N {array.default_name.replace('/', '-')}", f"-t 0-{array.tasks - 1}"]

    def array_setup_lines(self, array):
        return ['exec >> "$task"/log.stdout 2>> "$task"/log.stderr']

    def parse_job_ids(self, output, tasks):
        ids = super().parse_job_ids(output, None)
        return ids if tasks is None else [f"{job_id}_{task}" for job_id in ids for task in range(tasks)]

    def states_command(self, job_ids):
        return ["squeue", "-h", "-r", "-t", "all", "-o", "%i %T", "-j", job_ids[0].partition("_")[0]]

    def parse_states(self, output):
        from mlxp_core.schedulers import JobState

        return {row.split()[0]: JobState(row.split()[1], row.split()[0]) for row in output.splitlines()}


class BrokenPBS(ArrayPBS):
    def parse_states(self, output):
        return 1 / 0


class QueuedPBS(ArrayPBS):
    def parse_states(self, output):
        return super().parse_states(output.replace("PENDING", "QUEUED"))


class KillingPBS(ArrayPBS):
    cancel_command = "sh kill.sh"

    def states_command(self, job_ids):  # those that have not ended
        return ["squeue", "-h", "-r", "-u", "slurmtest", "-o", "%i %T"]
"""


@pytest.mark.once
def test_arrays_waiting_and_cancelling(slurm: Cluster) -> None:
    app = install(slurm.app("custom-more").write_probe(), PBS + MORE)
    result = app.sweep(*launcher("pbs.ArrayPBS"), LOGGING, "x=1,2", "hydra.launcher.wait=true")
    assert re.search(r"2/2  COMPLETE  logs/\d  x=\d\n", result.stdout)
    assert len({job_id.partition("_")[0] for job_id in slurm.job_ids(app)}) == 1
    assert all((app.directory / f"logs/{run}/log.stdout").read_text() == "a line on stdout\n" for run in (1, 2))
    recorded = [info(app.directory / f"logs/{run}")["scheduler"]["scheduler_job_id"] for run in (1, 2)]
    assert recorded == slurm.job_ids(app)  # of the task, not of the array

    result = app.run("-m", *launcher("pbs.BrokenPBS"), LOGGING, "x=3,4", "action=sleep600", "hydra.launcher.wait=true")
    assert result.status == 1
    assert re.match(
        r"The scheduler class pbs.BrokenPBS failed in parse_states \(/.*/pbs.py, line \d+\): ZeroDivisionError: "
        r"division by zero\.\nNo longer waiting for results\. The submitted runs are unaffected\.\n",
        result.stderr,
    ), result.stderr
    slurm.wait_for_runs(app, 4)
    listed = mlxp(app, "ls")
    assert (listed.status, listed.stdout.count(" RUNNING ")) == (0, 2), listed.text
    assert "pbs.BrokenPBS failed in parse_states (" in listed.stderr
    job_ids = slurm.job_ids(app)[2:]
    slurm.cancel(job_ids)
    slurm.wait_for(lambda: all(info(app.directory / f"logs/{run}")["status"] == "FAILED" for run in (3, 4)))

    result = app.run("-m", *launcher("pbs.QueuedPBS"), LOGGING, "x=5", "hydra.launcher.option_cmd=['-h']",
                     "hydra.launcher.wait=true", "hydra.launcher.poll_interval_s=1")  # fmt: skip
    job_id = slurm.job_ids(app)[-1]
    assert result.status == 1
    assert (
        f"pbs.QueuedPBS.parse_states returned the state 'QUEUED' for job {job_id}. It must be one of BOOT_FAIL, "
        "CANCELLED, COMPLETED, COMPLETING, CONFIGURING, "
    ) in result.stderr, result.stderr
    assert "No longer waiting for results. The submitted runs are unaffected.\n" in result.stderr
    slurm.cancel([job_id])


@pytest.mark.once
def test_cancelling_what_has_partly_ended(slurm: Cluster, tmp_path: Path) -> None:
    """A cancel command that refuses a request because one of its jobs has ended still cancels the others."""
    app = slurm.app("custom-cancel").write_probe()
    app.sweep("hydra/launcher=slurm", LOGGING, "action=null,sleep300")
    over, alive = slurm.job_ids(app)
    assert slurm.wait([over]) == ["COMPLETED"]
    slurm.wait_for_runs(app, 2)
    # As of Grid Engine and PBS
    strict = tmp_path / "strict"
    strict.write_text(
        '#!/bin/sh\nfor job do\n    [ "$(squeue -h -j $job)" ] || { echo no job $job >&2; exit 1; }\n'
        'done\nexec scancel "$@"\n'
    )
    strict.chmod(0o755)
    kind = load_class(tmp_path, PBS + MORE, "ArrayPBS")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(kind, "cancel_command", "sh -c 'echo the queue is closed >&2; exit 3' --")
    with pytest.raises(CommandError, match=r"PBS did not cancel all jobs \('sh' ended .* 3\): the queue is closed"):
        kind(BatchOptions()).cancel([over, alive])
    assert slurm.states([alive]) == ["RUNNING"]
    kind(BatchOptions()).cancel([over])
    monkeypatch.setattr(kind, "cancel_command", str(strict))
    kind(BatchOptions()).cancel([over, alive])
    assert slurm.wait([alive]) == ["CANCELLED"]
    kind(BatchOptions()).cancel([over, alive])


@pytest.mark.once
def test_jobs_that_are_killed_without_notice(slurm: Cluster) -> None:
    """With states_command a killed run does not stay RUNNING, even if the scheduler has forgotten its job."""
    app = install(slurm.app("custom-killed").write_probe(), PBS + MORE)
    app.write("kill.sh", f"pkill -KILL -u {app.user} -f '{app.directory}/.*(script.sh|main.py|logs)'\n")
    app.sweep(*launcher("pbs.KillingPBS"), LOGGING, "x=1,2", "action=sleep300")
    slurm.wait_for_runs(app, 2)
    cancelled = mlxp(app, "cancel", "-y", "1-2")
    assert cancelled.status == 0, cancelled.text
    slurm.wait_for(lambda: statuses_in_order(app) == ["UNKNOWN", "UNKNOWN"])
    assert [info(app.directory / f"logs/{run}")["status"] for run in (1, 2)] == ["RUNNING", "RUNNING"]
    assert "PBS no longer knows its job, and no exit was recorded" in mlxp(app, "show", "1").stdout


@pytest.mark.once
def test_mlxp_with_a_custom_class(slurm: Cluster) -> None:
    app = install(slurm.app("custom-command").write_probe(), PBS + MORE)
    command = str(Path(app.python).with_name("mlxp"))
    app.sweep(*launcher("pbs.ArrayPBS"), LOGGING, "x=1,2", "action=sleep600")
    slurm.wait_for_runs(app, 2)
    assert re.findall(r"RUNNING +ArrayPBS +\d+_\d ", app.call(command, "ls").stdout)
    for _ in "12":
        cancelled = app.call(command, "cancel", "-y", "1-2")
        assert cancelled.status == 0, cancelled.text
        slurm.wait_for(lambda: app.call(command, "ls").stdout.count(" CANCELLED ") == 2)
        submitted = app.call(command, "resubmit", "-y", "1-2")
        assert "Submitting logs/1-2 to PBS:\n" in submitted.stdout, submitted.text
        slurm.wait_for(lambda: app.call(command, "ls").stdout.count(" RUNNING ") == 2)
    assert len(slurm.job_ids(app)) == 6
    (app.directory / "pbs.py").unlink()
    refused = app.call(command, "cancel", "-y", "1-2")
    assert (refused.status, "Scheduler pbs.ArrayPBS not found" in refused.stderr) == (1, True), refused.text
    assert "Waiting for them to end" not in refused.stdout  # nothing was requested
    slurm.cancel(slurm.job_ids(app))


@pytest.mark.once
def test_missing_abilities_are_refused(slurm: Cluster) -> None:
    app = install(slurm.app("custom-refused").write_probe(), PBS.replace('[f"exec', '[1 / 0, f"exec'))
    for options, message in (
        (
            ["hydra.launcher.wait=true"],
            "hydra.launcher.wait=true requires waiting for runs, but pbs.PBSScheduler does not implement "
            "states_command and parse_states. Add these methods, or do not wait.",
        ),
        (
            ["hydra/sweeper=optuna"],
            "The sweeper OptunaSweeper requires waiting for runs, but pbs.PBSScheduler does not ",
        ),
        (
            ["hydra.launcher.array_parallelism=2"],
            "Each run on PBS is a request of its own, because pbs.PBSScheduler has no ",
        ),
        ([], "The scheduler class pbs.PBSScheduler failed in setup_lines ("),
    ):
        result = app.run("-m", *launcher("pbs.PBSScheduler"), LOGGING, "x=1,2", *options)
        assert result.status == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert not app.runs()
        assert not [*app.directory.glob("logs/[0-9]*")]


@pytest.mark.once
def test_an_answer_without_job_id(slurm: Cluster) -> None:
    """The submitted job is found once the class is corrected, and is not submitted twice."""
    app = install(slurm.app("custom-no-id").write_probe(), PBS.replace(r'r"^(\d+\S*)$"', r'r"^Job (\d+)$"'))
    result = app.run("-m", *launcher("pbs.PBSScheduler"), LOGGING, "x=1,2,3", "hydra.launcher.option_cmd=['-h']")
    assert result.status == 1
    assert re.match(
        r"The scheduler class pbs.PBSScheduler finds 0 of 1 job ids with its job_id_pattern '\^Job \(\\\\d\+\)\$'\. "
        r"'qsub -o /dev/null -e /dev/null' ended with exit status 0 and printed:\n\d+\n"
        r"PBS has probably accepted the request, so it is not repeated. Correct the class \(/.*pbs\.py\)\.\n"
        r"Possibly submitted: logs/1\. Not submitted: logs/2-3\. To continue: mlxp resume logs/sweeps/\S+\n",
        result.stderr,
    ), result.stderr
    result = resume(app)
    assert result.status == 1
    assert "contains no job id, but logs/1 may be submitted. Whether PBS has the request is not known," in result.stderr
    assert "Check with 'qstat': if there is a job of logs/1, let it run; if not, remove " in result.stderr
    app.write("pbs.py", PBS)
    result = resume(app)
    assert "submitting logs/2-3 to PBS:\n" in result.stdout, result.text
    subprocess.run(["scontrol", "release", *slurm.job_ids(app)], check=True)
    assert_each_ran_once(slurm, app, 3)


@pytest.mark.once
def test_a_refusal_and_a_lost_answer(slurm: Cluster) -> None:
    """A refused request is resumed; with a killed command this class cannot find out whether it was accepted."""
    wrong_queue = "        lines = [] if job.run.path.name == '1' else ['-q nope']\n        return [*lines, f\"-N"
    app = install(slurm.app("custom-refusal").write_probe(), PBS.replace('        return [f"-N', wrong_queue))
    result = app.run("-m", *launcher("pbs.PBSScheduler"), LOGGING, pbs_shell(app), "x=1,2")
    assert "PBS refused the request ('qsub -o /dev/null -e /dev/null' ended with exit status 1):\n" in result.stderr
    assert (
        "1 of 2 runs submitted. These jobs are unaffected.\nNot submitted: logs/2. To submit them: mlxp resume"
        in result.stderr
    )
    command = '("sh", "-c", "qsub -o /dev/null -e /dev/null $0 > /dev/null; kill -9 $$")'
    app.write("pbs.py", PBS.replace('("qsub", "-o", "/dev/null", "-e", "/dev/null")', command))
    result = resume(app)
    assert "'sh' was killed.\nPBS may have accepted the request.\nWhether PBS has the" in result.stderr
    assert (
        "\n1 of 2 runs submitted. These jobs are unaffected.\nPossibly submitted: logs/2. To continue: mlxp resume"
        in result.stderr
    )
    slurm.wait_for_runs(app, 2)  # now its record shows that it was accepted
    app.write("pbs.py", PBS)
    result = resume(app)
    assert result.stdout == "Nothing to resume: all runs of 1 launch are submitted or started.\n", result.text
    slurm.wait_for(lambda: info(app.directory / "logs/2")["status"] == "COMPLETE")
    assert_each_ran_once(slurm, app, 2)


_number = count()


def load_class(directory: Path, text: str, name_of_class: str = "PBSScheduler") -> type[Scheduler]:
    """Load a class from a module with this text."""
    name = f"custom_{next(_number)}"
    (directory / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(directory))
        return load_scheduler(f"{name}.{name_of_class}")


def test_names() -> None:
    assert (
        load_scheduler("SLURMScheduler")
        is load_scheduler("mlxp_core.schedulers.slurm.SLURMScheduler")
        is SLURMScheduler
    )
    assert load_scheduler("OARScheduler") is load_scheduler("oar") is load_scheduler("OAR") is OARScheduler
    assert load_scheduler("slurm") is load_scheduler("Slurm") is SLURMScheduler
    for name, message in (
        ("Foo", "Unknown scheduler 'Foo': must be oar, slurm, or the full name of a class, such as my_app."),
        ("no app.Foo", "Unknown scheduler 'no app.Foo': must be oar"),
        ("no_app.Foo", "Scheduler no_app.Foo not found: there is no module no_app."),
        (
            "tests.programs.App",
            "tests.programs.App is not a scheduler: it must be a subclass of <class 'mlxp_core.schedulers.",
        ),
        (
            "tests.programs.Foo",
            f"Scheduler tests.programs.Foo not found: {REPOSITORY}/tests/programs.py has no class Foo",
        ),
    ):
        with pytest.raises(OptionError, match=re.escape(message)):
            load_scheduler(name)


@pytest.mark.once
@pytest.mark.parametrize("launcher", [["mlxp"], ["slurm"], ["mlxp", "hydra.launcher.name=SLURM"]])
def test_short_names(app: App, launcher: list[str]) -> None:
    """`slurm` in mlxpy.yaml or on the command line is SLURMScheduler."""
    app.write("conf/mlxpy.yaml", "scheduler: {name: Slurm, option_cmd: '--nice=7'}\n")
    result = app.sweep("x=1", LOGGING, f"hydra/launcher={launcher[0]}", *launcher[1:], "hydra.launcher.dry_run=true")
    assert "left out" not in result.stdout
    assert "#SBATCH --nice=7" in (app.directory / "logs/1/script.sh").read_text()
    settings = yaml.safe_load((app.directory / "logs/1/metadata/mlxpy.yaml").read_text())
    assert settings["scheduler"]["name"] == "SLURMScheduler"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: "import torchx",
            r"importing custom_\d+ fails: ModuleNotFoundError: No module named 'torchx' \(/.*, line 1\)",
        ),
        (lambda text: "def f(:", r"fails: SyntaxError: invalid syntax \(custom_\d+\.py, line 1\)"),
        (lambda text: "import sys\nsys.exit(3)", r"fails: SystemExit: 3 \(/.*, line 2\)"),
        (lambda text: re.sub("(?m)^    (submit_c|job_id_p).*\n", "", text), "lacks submit_command and job_id_pattern."),
        (
            lambda text: text.replace("def directives", "def directive"),
            r"custom_\d+.PBSScheduler lacks the method directives\.",
        ),
        (lambda text: text.replace("#PBS", "PBS"), "has directive_prefix = 'PBS', which must begin with #"),
        (
            lambda text: text.replace('"PBS_', '"$PBS_'),
            "has job_id_variable = .*, which must be the name of a variable, without",
        ),
        (
            lambda text: re.sub(r"submit_command = .*", "submit_command = 'qsub -V'", text),
            r"has submit_command = 'qsub -V', which must be a tuple of strings, such as \('qsub', '-V'\)",
        ),
        (
            lambda text: text.replace(r"^(\d+\S*)$", r"(\d+)"),
            r"finds a job id in 'qsub: error 15001, see line 7': begin it with \^ and end it with \$",
        ),
        (
            lambda text: text.replace(r"(\d", r"((\d"),
            "has job_id_pattern = .*, which is not a valid regular expression",
        ),
        (lambda text: text.replace(r"(\d+\S*)", r"\d+"), "which must have exactly one group, the job id, not 0"),
        (
            lambda text: text.replace("self, job: Job", "self"),
            r"has directives, which must be a method directives\(self, job: ",
        ),
        (
            lambda text: text + "    task_id_expression = '$N'\n",
            "lacks the method array_directives, which task_id_expression needs",
        ),
        (
            lambda text: (
                text + "    task_id_expression = '$N'\n    def array_directives(self, array): ...\n"
                "    def parse_job_ids(self, output, tasks): ...\n"
            ),
            "lacks the property own_job_id, by which each task records its own id from parse_job_ids",
        ),
        (
            lambda text: text + "    def states_command(self, ids): ...\n",
            "lacks the method parse_states, which states_command needs",
        ),
        (
            lambda text: (
                f"if 1:\n  def f():\n{re.sub('(?m)^', '    ', text)}\n    return PBSScheduler\nPBSScheduler = f()"
            ),
            "top level of a module",
        ),
    ],
)
def test_unfinished_classes(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_class(tmp_path, change(PBS))


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("None", r"custom_\d+.PBSScheduler.directives must return a list of directives without #PBS, got None\."),
        ("'-N x'", r"directives must return a list of directives without #PBS, got '-N x'\."),
        ("['#PBS -N x']", r"directives must return a list of directives without #PBS, got \['#PBS -N x'\]\."),
    ],
)
def test_wrong_directives(tmp_path: Path, end: str, message: str) -> None:
    kind = load_class(tmp_path, re.sub(r'return \[f"-N.*', f"return {end}", PBS))
    with pytest.raises(OptionError, match=message):
        kind(BatchOptions()).check(a_job())


def test_each_launch_has_its_own_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two launches to resume have classes of the same name, from different commits."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    schedulers = []
    for title in ("one", "two"):
        directory = tmp_path / title
        directory.mkdir()
        (directory / "pbs.py").write_text(PBS.replace('"PBS"', f'"{title}"').replace('[f"exec', '[1 / 0, f"exec'))
        app = AppCommand(("python", "main.py"), (), tmp_path)
        options = {"name": None}
        plan = Plan("pbs.PBSScheduler", options, app, str(directory / "main.py"), None, {}, tmp_path, 1, [])
        schedulers.append(scheduler_of(plan))
    for title, scheduler in zip(("one", "two"), schedulers, strict=True):
        assert scheduler.title == title
        message = rf"failed in setup_lines \({tmp_path}/{title}/pbs.py, line \d+\): ZeroDivisionError"
        with pytest.raises(OptionError, match=message), class_errors_reported(type(scheduler)):
            scheduler.script(a_job())


GRID_ENGINE = """
from mlxp_core.schedulers import Scheduler


class GridEngineScheduler(Scheduler):
    title = "Grid Engine"
    directive_prefix = "#$"
    submit_command = ("qsub", "-terse")
    job_id_pattern = r"^(\\d+)$"
    job_id_variable = "JOB_ID"
    task_id_expression = '"$((SGE_TASK_ID - 1))"'
    list_command = "qstat"
    cancel_command = "qdel"

    def directives(self, job):
        return [f"-N {job.run.path.name}"]

    def array_directives(self, array):
        limit = [f"-tc {array.parallel_tasks}"] if array.parallel_tasks else []
        return [f"-t 1-{array.tasks}", *limit]
"""
LIMIT = "hydra.launcher.array_parallelism=2"


@pytest.mark.once
def test_a_limit_by_a_directive(app: App) -> None:
    """A class that cannot make requests wait for others limits the runs of one request."""
    app.write("grid.py", GRID_ENGINE)
    words = ["-m", "x=1,2,3", *launcher("grid.GridEngineScheduler"), "hydra.launcher.dry_run=true", LOGGING, LIMIT]
    result = app.run(*words)
    assert result.status == 0, result.text
    (script,) = app.directory.glob("logs/sweeps/*/launch-1/1/script.sh")
    assert "\n#$ -t 1-3\n#$ -tc 2\n" in script.read_text()
    several = "hydra.launcher.array_parallelism cannot limit several requests on Grid Engine: grid.GridEngineScheduler "
    for options, message in (
        (["hydra.launcher.max_array_size=2"], several),
        (["hydra.sweeper.max_batch_size=2"], several),
    ):
        result = app.run(*words, *options)
        assert result.status == 1
        assert message in result.stderr
        assert len([*app.directory.glob("logs/[0-9]*")]) == 3
    app.write("grid.py", GRID_ENGINE.replace("*limit", ""))
    result = app.run(*words)
    assert result.status == 1
    assert "grid.GridEngineScheduler.array_directives ignores array.parallel_tasks, so hydra.launcher" in result.stderr
    assert len([*app.directory.glob("logs/[0-9]*")]) == 3


def test_wrong_answers(tmp_path: Path) -> None:
    """A class that finds wrong job ids in the output of a real command."""
    script = tmp_path / "script.sh"
    script.touch()
    for tasks, says, message in (
        (3, """submit_command = ("sh", "-c", "echo 7; echo 8")""", "finds 2 of 3 job ids with its job_id_pattern"),
        (None, """submit_command = ("echo", "done")""", r"finds 0 of 1 job ids .* exit status 0 and printed:\ndone /"),
        (None, """submit_command = ("true",)""", r"printed:\n\(nothing\)"),
        (
            None,
            "def parse_job_ids(self, output, tasks): return '7'",
            "parse_job_ids must return a list of job ids, got '7'",
        ),
        (
            None,
            "def parse_job_ids(self, output, tasks): return 1 / 0",
            r"failed in parse_job_ids \(/.*\): ZeroDivisionError",
        ),
    ):
        text = re.sub("submit_command = .*", "submit_command = ('true',)", PBS)
        scheduler = load_class(tmp_path, f"{text}\n    {says}\n")(BatchOptions())
        with pytest.raises(AnswerUnreadableError, match=message) as error:
            scheduler.submit(script, tasks, answer=tmp_path / "answer.txt")
        assert "PBS has probably accepted the request, so it is not repeated." in str(error.value)
