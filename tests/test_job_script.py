"""Whole scripts, compared with recorded ones, and the directives of each option.

`pytest --record` rewrites tests/scripts/*.sh: read the difference before you commit it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlxp_core.config.options import LocalOptions, OAROptions, SLURMOptions
from mlxp_core.errors import OptionError
from mlxp_core.jobs.script import Job
from mlxp_core.schedulers import OARScheduler, Scheduler, SLURMScheduler
from mlxp_core.schedulers.local import LocalScheduler
from tests.support.jobs import a_job

RECORDED = Path(__file__).parent / "scripts"


FULL: dict[str, Any] = {
    "shell_config_cmd": "source ~/.profile",
    "cleanup_cmd": ["module purge", "unset DISPLAY"],
    "env_cmd": "conda activate torch",
    "timeout_min": 90,
    "nodes": 2,
    "tasks_per_node": 4,
    "cpus_per_task": 3,
    "gpus_per_node": 2,
    "mem_gb": 1.5,
}
SCHEDULERS: dict[str, tuple[Scheduler | LocalScheduler, Job]] = {
    "slurm": (SLURMScheduler(SLURMOptions()), a_job()),
    "slurm-full": (
        SLURMScheduler(
            SLURMOptions(
                **FULL,
                partition="main",
                qos="high",
                account="me@lab",
                constraint="a100|h100",
                gres="gpu:a100:2",
                exclude="node[1-3]",
                comment='a "quoted" \\ comment # here',
                cpus_per_gpu=8,
                gpus_per_task=1,
                mem_per_cpu="4G",
                mem_per_gpu="40G",
                additional_parameters={"mail_type": "END", "exclusive": True, "requeue": False, "nice": 10},
                option_cmd=["--signal=B:USR1@30", "--reservation=night shift"],
            )
        ),
        a_job(name="my job", PYTHONPATH="src:/a b"),
    ),
    "oar": (OARScheduler(OAROptions()), a_job()),
    "oar-full": (
        OARScheduler(
            OAROptions(
                **FULL,
                memory_property="mem",
                queue="night",
                project="lab",
                types=["besteffort", "idempotent"],
                properties="gpu_model='A100' AND cluster='x' OR host='y'",
                option_cmd="--notify mail:me@lab.org",
            )
        ),
        a_job("/home/me/tutorial/multirun/lr=0.1,seed=1", name="my job"),
    ),
    "slurm-requeue": (
        SLURMScheduler(SLURMOptions(timeout_min=120, max_requeues=3, nodes=2)),
        a_job(),
    ),
    "oar-requeue": (
        OARScheduler(OAROptions(timeout_min=120, max_requeues=3, types=["besteffort"], requeue_signal="USR1")),
        a_job(),
    ),
    "local": (LocalScheduler(LocalOptions(env_cmd="conda activate torch")), a_job("/home/me/two\nlines/logs/5")),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_whole_scripts(name: str, request: pytest.FixtureRequest) -> None:
    scheduler, job = SCHEDULERS[name]
    recorded = RECORDED / f"{name}.sh"
    text = scheduler.script(job)
    if request.config.getoption("--record"):
        recorded.write_text(text)
    assert text == recorded.read_text()


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_scripts_are_posix(name: str, shell: str) -> None:
    subprocess.run([shell, "-n", str(RECORDED / f"{name}.sh")], check=True)


@pytest.mark.parametrize(
    ("options", "request_line"),
    [
        ({"timeout_min": 5}, "-l walltime=00:05:00"),
        ({"timeout_min": 60 * 30}, "-l walltime=30:00:00"),
        ({"nodes": 2}, "-l /nodes=2"),
        ({"cpus_per_task": 4}, "-l /nodes=1/core=4"),
        ({"tasks_per_node": 2, "cpus_per_task": 4, "timeout_min": 61}, "-l /nodes=1/core=8,walltime=01:01:00"),
        ({"gpus_per_node": 2}, "-l /nodes=1/gpu=2"),
        ({"gpus_per_node": 2, "cpus_per_task": 5}, "-l /nodes=1/gpu=2/core=3"),
        ({"mem_gb": 4, "memory_property": "mem"}, "-p mem >= 4096"),
        ({"mem_gb": 4, "memory_property": "mem", "properties": "a='1'"}, "-p (a='1') AND mem >= 4096"),
    ],
)
def test_oar_resources(options: dict[str, Any], request_line: str) -> None:
    directives = OARScheduler(OAROptions(**options)).directives(a_job())
    assert [line for line in directives if line[:3] in ("-l ", "-p ")] == [request_line]


def test_names() -> None:
    oar, slurm = OARScheduler(OAROptions()), SLURMScheduler(SLURMOptions())
    assert oar.directives(a_job("/home/it's me/a b"))[0] == "-n it_s me/a b"
    assert oar.directives(a_job("/home/me/x\\"))[0] == "-n me/x_"
    assert oar.directives(a_job(f"/x/{'é' * 100}"))[0] == f"-n {'é' * 50}"
    assert oar.directives(a_job(f"/x/{'a' * 200}"))[0] == f"-n {'a' * 100}"
    assert slurm.directives(a_job(f"/x/{'a' * 2000}"))[0] == f"--job-name={'a' * 1024}"
    for scheduler, name in ((oar, "it's"), (oar, "a\\"), (oar, "é" * 51), (slurm, "é" * 513), (slurm, "a" * 1025)):
        with pytest.raises(OptionError, match="name"):
            scheduler.check(a_job(name=name))


@pytest.mark.parametrize("name", ["two\nlines", "\n#OAR -t besteffort"])
def test_values_add_no_directives(name: str) -> None:
    for scheduler in (OARScheduler(OAROptions()), SLURMScheduler(SLURMOptions())):
        with pytest.raises(OptionError, match="line break"):
            scheduler.check(a_job(name=name))
        with pytest.raises(OptionError, match="a script with a line break"):
            scheduler.check(a_job("/home/me/two\nlines"))


@pytest.mark.parametrize(
    ("scheduler", "output", "job_ids"),
    [
        (SLURMScheduler(SLURMOptions()), "Submitted batch job 7\n", ["7"]),
        (SLURMScheduler(SLURMOptions()), "sbatch: warning: 12\nSubmitted batch job 7 on cluster c1\n", ["7"]),
        (SLURMScheduler(SLURMOptions()), "", []),
        (OARScheduler(OAROptions()), "[ADMISSION RULE] Set walltime to 7200.\nOAR_JOB_ID=684995\n", ["684995"]),
        (OARScheduler(OAROptions()), "OAR_JOB_ID=-5\n", []),
        (OARScheduler(OAROptions()), "OAR_JOB_ID=\n", []),
    ],
)
def test_job_ids(scheduler: Scheduler, output: str, job_ids: list[str]) -> None:
    assert scheduler.parse_job_ids(output, None) == job_ids


def test_job_ids_of_arrays() -> None:
    assert SLURMScheduler(SLURMOptions()).parse_job_ids("Submitted batch job 7\n", 3) == ["7_0", "7_1", "7_2"]
    answer = "OAR_JOB_ID=5\nOAR_JOB_ID=6\nOAR_ARRAY_ID=5\n"
    assert OARScheduler(OAROptions()).parse_job_ids(answer, 2) == ["5", "6"]


def test_submission_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_CONF", "SLURM_MEM_PER_CPU", "SBATCH_ACCOUNT", "OAR_JOB_ID", "PLAIN"):
        monkeypatch.setenv(name, "x")
    slurm, oar = SLURMScheduler(SLURMOptions()), OARScheduler(OAROptions())
    kept = {"SLURM_CONF", "SLURM_MEM_PER_CPU", "SBATCH_ACCOUNT", "OAR_JOB_ID", "PLAIN"}
    outside = {"SLURM_CONF", "SBATCH_ACCOUNT", "OAR_JOB_ID", "PLAIN"}
    assert kept & set(slurm.submission_environment()) == outside
    assert kept & set(oar.submission_environment()) == kept - {"OAR_JOB_ID"}
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # inside a job, where these are the outer job's
    assert "SBATCH_ACCOUNT" not in slurm.submission_environment()


def test_options_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """sbatch's variables override directives, so they are removed."""
    for name in ("SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SBATCH_MEM_PER_NODE", "SBATCH_QOS", "SBATCH_JOB_NAME"):
        monkeypatch.setenv(name, "x")
    options = SLURMOptions(partition="main", timeout_min=3, mem_gb=1)
    left = SLURMScheduler(options).submission_environment()
    assert [name for name in left if name.startswith("SBATCH_")] == ["SBATCH_QOS"]


def test_raw_directives_have_no_prefix() -> None:
    for scheduler in (
        SLURMScheduler(SLURMOptions(option_cmd="#SBATCH --time=17")),
        OARScheduler(OAROptions(option_cmd=["#OAR -t besteffort"])),
    ):
        with pytest.raises(OptionError, match=r"without #(SBATCH|OAR): write '-"):
            scheduler.check(a_job())
