"""`mlxp resume` after launches that were killed, interrupted or damaged: each run is submitted exactly once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.clusters import Cluster
from tests.programs import App, Result, info
from tests.support.cli import forgetting, listed, statuses
from tests.support.killed import install, ran, resume, wait_for_all
from tests.support.processes import read_until

pytestmark = pytest.mark.waits


def launch(cluster: Cluster, app: App, launches: Iterable[str], *arguments: str) -> None:
    """Launch three runs, an array and a single one, in a directory for each of LAUNCHES; two launches at a time."""
    names = list(launches)
    sweep = ["-m", "name=NAME", "x=0,1,2", f"hydra/launcher={cluster.launcher}"]
    place = ["hydra/callbacks=mlxp_logging", "hydra.callbacks.mlxp_logging.parent_log_dir=NAME"]

    def launch_some(some: list[str]) -> None:
        result = app.run(*sweep, *place, *arguments, env={"LAUNCHES": " ".join(some)})
        assert result.status == 0, result.text

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(launch_some, [part for part in (names[::2], names[1::2]) if part]))


def resume_all(app: App, directories: Iterable[str]) -> dict[str, Result]:
    names = list(directories)
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: resume(app, name), names), strict=True))


def assert_done(cluster: Cluster, app: App, names: Sequence[str], ran_once: Iterable[str] = ()) -> None:
    """Check that everything is submitted and recorded, that each run ran once, and that nothing is left to resume."""
    result = app.call(app.python, "-c", "import main; main.resume_each()", env={"LAUNCHES": " ".join(names)})
    said = re.sub(r"^Never launched: .*\n", "", result.stdout, flags=re.MULTILINE)
    assert said == "Nothing to resume: all runs of 1 launch are submitted or started.\n" * len(names), result.text
    wait_for_all(cluster, app)
    values = dict.fromkeys(ran_once or [f"{name}-{x}" for name in names for x in range(3)], 1)
    assert ran(app) == values
    for name in names:
        files = (app.directory / name).rglob("submissions.jsonl")
        noted = [json.loads(line)["run"] for file in files for line in file.read_text().splitlines()]
        assert len(set(noted)) == len(noted) == len(values) / len(names)


@pytest.mark.once
def test_killed_at_each_step(scheduler: Cluster) -> None:
    """A launch killed before any write or external command, or during a submission, is resumed: each run runs once."""
    app = install(scheduler.app("killed"))
    # An array and a single run. OAR starts jobs slowly, so there one job of two runs takes the place of the array
    shape = {"slurm": ["max_array_size=2"], "oar": ["runs_per_job=2", "max_array_size=1"]}[scheduler.launcher]
    options = [f"hydra.launcher.{option}" for option in shape]
    launch(scheduler, app, ["whole"], *options)
    steps = (app.directory / "steps").read_text().split()
    plan = steps.index("os.rename:plan.json") + 1
    assert {step.split(":")[1] for step in steps[plan:]} >= {"1", "info.yaml", "script.sh", "submissions.jsonl"}
    # What is written before the first submission is written by the same code for both; OAR is slow
    first = 1 if scheduler.launcher == "slurm" else steps.index("open:answer.txt") + 1
    kills = [(place, 0) for place in range(first, len(steps) + 1)]
    for place in [place for place, step in enumerate(steps, start=1) if step.endswith(("sbatch", "oarsub"))]:
        kills += [(place, delay) for delay in (1, 5, 30, 150)]
    launches: dict[str, list[str]] = {}
    for place, delay in kills:
        # All launches that are killed long before the plan is written use one directory, with the files of earlier ones
        name = f"{place}-{delay}" if place > plan - 10 else "early"
        launches.setdefault(name, []).append(f"{name},{place},{delay}")

    launch(scheduler, app, [one for some in launches.values() for one in some], *options)
    resumed = resume_all(app, launches)
    not_begun = [name for name, result in resumed.items() if result.status == 1]
    assert all("There is no launch in" in resumed[name].stderr for name in not_begun)
    assert not_begun == (["early", *list(launches)[1:11]] if scheduler.launcher == "slurm" else [])
    launch(scheduler, app, not_begun, *options)
    assert_done(scheduler, app, ["whole", *launches])


@pytest.mark.once
def test_a_refused_resume(slurm: Cluster) -> None:
    """The launch can still be resumed: the refusal may have been of the moment, or the site's configuration changes."""
    app = install(slurm.app("resume-refused"))
    launch(slurm, app, ["whole,subprocess.Popen:sbatch"], "hydra.launcher.partition=missing")
    for _ in range(2):
        result = resume(app, "whole")
        assert (result.status, "invalid partition specified" in result.stderr) == (1, True), result.text
        assert "Not submitted: whole/1-3. To submit them: mlxp resume" in result.stderr
    assert all("finds out whether it was submitted" in reason for _, reason in listed(app, "whole").values())


@pytest.mark.once
@pytest.mark.parametrize("step", ["open:answer.txt", "open:submissions.jsonl"])
def test_resume_is_killed(slurm: Cluster, step: str) -> None:
    """`mlxp resume` of a launch that submitted nothing, or a part, is killed at each of its steps."""
    app = install(slurm.app("resume-killed"))
    launch(slurm, app, [f"whole,{step}"], "hydra.launcher.max_array_size=2")
    app.call(app.python, "-c", "import main; main.resume_each()", env={"LAUNCHES": "whole"})
    steps = (app.directory / "steps").read_text().split()
    places = [str(place) for place in range(1, len(steps) + 1)]
    launch(slurm, app, [f"{place},{step}" for place in places], "hydra.launcher.max_array_size=2")
    kills = {"LAUNCHES": " ".join(f"{place},{place}" for place in places)}
    app.call(app.python, "-c", "import main; main.resume_each()", env=kills)
    resumed = resume_all(app, places)
    assert {result.status for result in resumed.values()} == {0}, resumed
    assert_done(slurm, app, ["whole", *places])


def start_sweep(app: App, name: str, values: int) -> subprocess.Popen[str]:
    """Start a sweep with a request for each value, in `logs`."""
    options = ("hydra/launcher=slurm", "hydra.launcher.max_array_size=1", "hydra/callbacks=mlxp_logging")
    return app.start(app.python, "-u", "main.py", "-m", f"name={name}", f"x=range({values})", *options)


def wait_for_jobs(slurm: Cluster, app: App, number: int) -> None:
    end = time.monotonic() + 120
    while len(slurm.job_ids(app)) < number:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.once
def test_interrupted_and_resumed_twice_at_once(slurm: Cluster) -> None:
    """The message says what was submitted; of two `mlxp resume` at once, one waits for the other."""
    app = install(slurm.app("resume-interrupted"))
    process = start_sweep(app, "a", 40)
    wait_for_jobs(slurm, app, 3)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=900)
    submitted = len(slurm.job_ids(app))
    assert process.returncode == 1
    assert 3 <= submitted < 35
    (sweep,) = app.directory.glob("logs/sweeps/*")
    assert stderr.startswith(
        f"Interrupted.\n{submitted} of 40 runs submitted. These jobs are unaffected.\n"
        f"Not submitted: logs/{submitted + 1}-40. To submit them: mlxp resume logs/sweeps/{sweep.name}\n"
    )
    two = [app.start(str(Path(app.python).with_name("mlxp")), "resume", f"logs/sweeps/{sweep.name}") for _ in "12"]
    said = sorted(process.communicate(timeout=900)[0] for process in two)
    assert [process.returncode for process in two] == [0, 0]
    assert said[0].endswith("Nothing to resume: all runs of 1 launch are submitted or started.\n")
    assert f"launch-1: submitting logs/{submitted + 1}-40 to SLURM:\n" in said[1]
    assert_done(slurm, app, ["logs"], {f"a-{x}" for x in range(40)})


@pytest.mark.once
def test_directories_taken_since(slurm: Cluster) -> None:
    """Runs of an unfinished launch are skipped if another run has used their directories since."""
    app = install(slurm.app("resume-taken"))
    launch(slurm, app, ["old,open:answer.txt"])
    place = ["hydra/callbacks=mlxp_logging", "hydra.callbacks.mlxp_logging.parent_log_dir=old"]
    forced = "hydra.callbacks.mlxp_logging.forced_log_id"
    assert app.run(*place, f"{forced}=1", "name=by-hand", "x=0").status == 0
    slurm.sweep(app, *place, f"{forced}=3", "name=new", "x=2")
    result = resume(app, "old")
    assert result.status == 0, result.text
    assert "launch-1: skipping old/1, old/3, used by another launch or run since.\n" in result.stdout
    assert "launch-2: submitting old/2 to SLURM:\n" in result.stdout
    wait_for_all(slurm, app)
    assert ran(app) == {"old-1": 1, "new-2": 1}
    assert resume(app, "old").stdout.endswith("Nothing to resume: all runs of 3 launches are submitted or started.\n")


def shim(app: App, text: str) -> dict[str, str]:
    """Put a program in the place of sbatch; return the environment in which it is found."""
    app.write("bin/sbatch", f"#!/bin/bash\n{text}\n").chmod(0o755)
    return {"PATH": f"{app.directory}/bin:{app.environment['PATH']}"}


@pytest.mark.once
def test_started_by_hand(slurm: Cluster) -> None:
    """A run that was started by hand is no proof that the others of its request were submitted."""
    app = slurm.app("resume-by-hand").write_probe()
    sweep = ["-m", "x=1,2", "action=null,raise", "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging"]
    app.run(*sweep, env=shim(app, "kill -9 $PPID"))
    assert app.call("bash", "logs/1/script.sh").status == 0
    assert app.call("bash", "logs/2/script.sh").status != 0  # it is submitted all the same, because it failed
    queued = app.call("sbatch", "--hold", "--parsable", "logs/3/script.sh")
    result = resume(app)
    assert result.status == 0, result.text
    assert "launch-1: skipping logs/1, logs/3, started by hand.\n" in result.stdout
    assert "launch-2: submitting logs/2, logs/4 to SLURM:\n" in result.stdout
    slurm.output("scontrol", "release", queued.stdout.strip())
    slurm.wait([*slurm.job_ids(app), queued.stdout.strip()])
    found = listed(app)
    assert [status for status, _ in found.values()] == ["COMPLETE", "FAILED", "COMPLETE", "FAILED"]
    assert [info(app.directory / "logs" / str(run))["attempts"] for run in range(1, 5)] == [1, 2, 1, 1]
    assert resume(app).stdout == "Nothing to resume: all runs of 2 launches are submitted or started.\n"


@pytest.mark.once
def test_starts_by_the_request(slurm: Cluster) -> None:
    """Where the scheduler no longer knows the jobs, a start by the request shows that the request was submitted."""
    app = slurm.app("resume-starts").write_probe()
    slurm.sweep(app, "x=1,2,3", "hydra.launcher.max_array_size=2", "hydra/callbacks=mlxp_logging")
    job_ids = slurm.job_ids(app)
    (journal,) = app.directory.rglob("submissions.jsonl")
    journal.write_text("")
    for answer in app.directory.rglob("answer.txt"):
        answer.write_text("")
    record = app.directory / "logs" / "1" / "metadata" / "info.yaml"
    # As if it had not started before its job was cancelled
    waiting: dict[str, object] = {"status": "STARTING", "start_time": None, "starts": []}
    record.write_text(yaml.safe_dump({**yaml.safe_load(record.read_text()), **waiting}, sort_keys=False))
    for _ in "12":
        result = resume(app, env=forgetting(app))
        assert result.stdout == "Nothing to resume: all runs of 1 launch are submitted or started.\n", result.text
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [entry["job_id"] for entry in entries] == ["", *job_ids[1:]]  # what is not known is not made up
    assert list(statuses(app).values())[1:] == ["COMPLETE", "COMPLETE"]


@pytest.mark.once
def test_a_launch_that_removed_itself(slurm: Cluster) -> None:
    """`mlxp resume` waits for a launch that is refused and removes itself: nothing is written again."""
    app = slurm.app("resume-removed").write_probe()
    path = shim(
        app, "touch asked; while [ ! -e go ]; do sleep 0.1; done; echo 'sbatch: error: Invalid qos' >&2; exit 1"
    )
    app.environment.update(path)
    words = ["x=1,2", "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging"]
    process = app.start(app.python, "-u", "main.py", "-m", *words)
    slurm.wait_for((app.directory / "asked").exists)
    resuming = app.start(str(Path(app.python).with_name("mlxp")), "resume")
    read_until(resuming, "is being submitted by another process; waiting for it ...\n")
    app.write("go", "")
    assert "Nothing was submitted." in process.communicate(timeout=400)[1]
    _, stderr = resuming.communicate(timeout=400)
    assert stderr.startswith("There is no launch in ")
    assert [path.name for path in (app.directory / "logs").iterdir() if path.name.isdecimal()] == []


@pytest.mark.once
def test_a_second_batch_keeps_its_dependencies(slurm: Cluster) -> None:
    """With array_parallelism, a resumed batch waits for the one before; launches are found at all depths."""
    app = slurm.app("resume-batches").write_probe()
    once = '[ -e once ] && { kill -9 $PPID; exit; }; touch once; exec /usr/bin/sbatch "$@"'
    limits = ["hydra.launcher.array_parallelism=1", "hydra.sweeper.max_batch_size=2"]
    with slurm.held() as held:
        words = ["x=1,2,3,4", "hydra/launcher=slurm", held]
        app.run("-m", *words, *limits, "hydra.sweep.dir=out", env=shim(app, once))
        app.run("-m", *words, "hydra.sweep.dir=out/deep/er", env=shim(app, "kill -9 $PPID"))
        result = resume(app, "out")
        assert result.status == 0, result.text
        assert "out/launch-2: submitting out/2-3 to SLURM:" in result.stdout
        assert "out/deep/er/launch-1: submitting out/deep/er/0-3 to SLURM:" in result.stdout
        first, _, third, _ = slurm.job_ids(app)[:4]
        assert f"Dependency=afterany:{first.partition('_')[0]}" in slurm.output("scontrol", "show", "job", third)
        slurm.cancel(slurm.job_ids(app))


@pytest.mark.once
def test_resume_during_two_launches(slurm: Cluster) -> None:
    """`mlxp resume` waits for launches that are being submitted; launches into one directory are independent."""
    app = install(slurm.app("resume-early"))
    launches = [start_sweep(app, name, 60) for name in ("a", "b")]

    def is_planned(launch: int) -> bool:
        return any(app.directory.glob(f"logs/sweeps/*_{launch}/launch-1/plan.json"))

    for process in launches:  # they are stopped until `mlxp resume` waits for them
        slurm.wait_for(partial(is_planned, process.pid))
        os.killpg(process.pid, signal.SIGSTOP)
    resuming = app.start(str(Path(app.python).with_name("mlxp")), "resume", "logs")
    assert resuming.stdout is not None
    assert resuming.stdout.readline().endswith("is being submitted by another process; waiting for it ...\n")
    for process in launches:
        os.killpg(process.pid, signal.SIGCONT)
    said, _ = resuming.communicate(timeout=900)
    assert resuming.returncode == 0
    assert said.endswith("Nothing to resume: all runs of 2 launches are submitted or started.\n")
    for process in launches:
        process.communicate(timeout=900)
        assert process.returncode == 0
    result = resume(app, "logs")
    assert result.stdout == "Nothing to resume: all runs of 2 launches are submitted or started.\n"
    wait_for_all(slurm, app)
    assert ran(app) == {f"{name}-{x}": 1 for name in ("a", "b") for x in range(60)}
    assert len(slurm.job_ids(app)) == 120


def lost(scheduler: Cluster, app: App, array_size: int = 2) -> set[tuple[str, str]]:
    """Launch three runs, wait for their end, delete the scheduler's answers; return what had been recorded."""
    launch(scheduler, app, ["lost"], f"hydra.launcher.max_array_size={array_size}")
    (record,) = app.directory.rglob("submissions.jsonl")
    noted = read_record(record)
    wait_for_all(scheduler, app)
    for answer in app.directory.rglob("answer.txt"):
        answer.write_text("")
    record.write_text(record.read_text()[:-9])  # as after a crash of the machine
    return noted


def read_record(record: Path) -> set[tuple[str, str]]:
    notes = []
    for line in record.read_text().splitlines():
        with suppress(ValueError):
            notes.append(json.loads(line))
    return {(note["run"], note["job_id"]) for note in notes}


@pytest.mark.once
@pytest.mark.parametrize("directory", [".", 'it\'s "odd" $(x) é \\ %j {};'], ids=["plain", "odd"])
def test_the_answers_are_lost(scheduler: Cluster, directory: str) -> None:
    """The job ids of a lost answer come from the scheduler."""
    app = scheduler.app("answers-lost")
    app.directory /= directory if scheduler.launcher == "slurm" else directory.replace(" ", "_")
    install(app)
    noted = lost(scheduler, app)
    result = resume(app, "lost")
    assert result.stdout == "Nothing to resume: all runs of 1 launch are submitted or started.\n", result.text
    (record,) = app.directory.rglob("submissions.jsonl")
    assert read_record(record) == noted
    assert ran(app) == {f"lost-{x}": 1 for x in range(3)}


@pytest.mark.once
@pytest.mark.parametrize("accounts", [True, False])
@pytest.mark.parametrize("directory", [".", 'it\'s "odd" $(x) é \\ %j {} |;'], ids=["plain", "odd"])
def test_squeue_forgets(slurm: Cluster, accounts: bool, directory: str) -> None:
    """Minutes after its end a job is only in the accounting, and without accounting only in the run's own record."""
    app = slurm.app("squeue-forgets")
    app.directory /= directory
    install(app)
    noted = lost(slurm, app)
    forgets = app.write("bin/squeue", '#!/bin/bash\nexec /usr/bin/squeue "${@/#all/PENDING,RUNNING}"\n')
    forgets.chmod(0o755)
    if not accounts:
        app.write("bin/sacct", "#!/bin/sh\necho Slurm accounting storage is disabled >&2; exit 1\n").chmod(0o755)
    result = resume(app, "lost", env={"PATH": f"{forgets.parent}:{app.environment['PATH']}"})
    assert result.stdout == "Nothing to resume: all runs of 1 launch are submitted or started.\n", result.text
    (record,) = app.directory.rglob("submissions.jsonl")
    assert {run for run, _ in read_record(record)} == {run for run, _ in noted}
    assert (read_record(record) == noted) == accounts
    assert ran(app) == {f"lost-{x}": 1 for x in range(3)}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-40], "Cannot read the plan of a launch from"),
        (lambda text: "[]", "Cannot read the plan of a launch from"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "another version of hydra-mlxp"),
        (lambda text: text.replace("SLURMScheduler", "NoScheduler"), "slurm.py has no class NoScheduler."),
        (lambda text: text.replace('"nodes"', '"nods"'), "hydra.launcher.nods is not an option"),
    ],
)
def test_a_damaged_plan(app: App, damage: Callable[[str], str], message: str) -> None:
    app.sweep("x=1,2", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", "hydra/callbacks=mlxp_logging")
    (plan,) = app.directory.rglob("plan.json")
    plan.write_text(damage(plan.read_text().replace('"dry_run": true', '"dry_run": false')))
    result = resume(app, "logs")
    assert (result.status, result.stdout) == (1, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_nothing_to_resume(app: App) -> None:
    assert "There is no launch in" in resume(app, "nowhere").stderr
    app.sweep("x=1", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", "hydra/callbacks=mlxp_logging")
    for directory in ("logs", "conf", "nowhere"):
        result = resume(app, directory)
        assert (result.status, result.stdout) == (1, "")
        assert result.stderr.startswith(f"There is no launch in {app.directory / directory}: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["main.py"], ["logs", "more"], ["--force"]], ids=str)
def test_wrong_use(app: App, arguments: list[str]) -> None:
    result = resume(app, *arguments)
    assert (result.status, result.stdout) == (2, "")
    assert "Usage: mlxp resume" in result.stderr
