"""Runs of several processes: the first one keeps the record, the others use its directory and write neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlxp_core.runs import rendezvous
from mlxp_core.runs.ranks import as_first_process, is_first_process, process_number, start_of_all, world_size
from tests.clusters import Cluster
from tests.programs import LOGGING, App, info
from tests.projects import Project

# Each process logs metrics and writes down where it runs. With `ddp` the first one starts another one as Lightning does
PROGRAM = """
import json, logging, os, subprocess, sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd, to_absolute_path


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    hydra_config = HydraConfig.get()
    output_dir = hydra_config.runtime.output_dir
    rank = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", 0))))
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    seen = {"output_dir": output_dir, "main": os.path.abspath(__file__), "x": config.x}
    seen["environment"] = {name: os.environ.get(name) for name in names}
    Path(get_original_cwd() if not config.place else config.place, f"rank-{rank}.json").write_text(json.dumps(seen))
    logging.getLogger(__name__).info("from rank %s", rank)
    for epoch in range(3):
        logging.getLogger("metrics.train").info({"epoch": epoch, "rank": rank})
    if config.ddp and rank == 0:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29599", NODE_RANK="0", LOCAL_RANK="0", WORLD_SIZE="2")
        command = [sys.executable, to_absolute_path(sys.argv[0]), *sys.argv[1:]]
        command += [f'hydra.run.dir="{output_dir}"' if config.ddp == 2 else 'hydra.run.dir="$PWD"']
        command += ["hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null"]
        subprocess.run(command, env={**os.environ, "LOCAL_RANK": "1"}, cwd=get_original_cwd(), check=True)
    return rank


if __name__ == "__main__":
    main()
"""
CONFIG = "x: 1\nddp: null\nplace: null\n"
TORCH = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29512"}


@pytest.fixture(autouse=True)
def _no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith("RANK") or name in TORCH:
            monkeypatch.delenv(name)


@pytest.fixture
def app(app: App) -> App:
    app.write("main.py", PROGRAM)
    app.write("conf/config.yaml", CONFIG)
    return app


def start(app: App, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start one process of a run."""
    return subprocess.Popen(
        [app.python, "main.py", *arguments],
        cwd=app.directory,
        env={**app.environment, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output


def run_ranks(app: App, *arguments: str, first: int = 0, **environment: str) -> None:
    """Start two processes of a run as torchrun does, the second one earlier if `first` is 1, and wait for them."""
    ranks = [{**TORCH, **environment, "RANK": str(rank)} for rank in (first, 1 - first)]
    end(*[start(app, rank, *arguments) for rank in ranks])


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics" / "train.json").read_text().splitlines()]


def seen(place: Path) -> list[dict[str, Any]]:
    """What each process of the last run saw, in the order of their ranks."""
    return [json.loads(path.read_text()) for path in sorted(place.glob("rank-*.json"))]


def assert_one_run(run: Path, size: int = 2) -> dict[str, Any]:
    """Check that a run has one record and the metrics of its first process."""
    assert [path.relative_to(run) for path in run.rglob("info.yaml")] == [Path("metadata", "info.yaml")]
    assert [(line["epoch"], line["rank"]) for line in metrics(run)] == [(0, 0), (1, 0), (2, 0)]
    assert not (run / "metrics" / ".superseded").exists()
    record = info(run)
    assert (record["status"], record["attempts"], record["world_size"]) == ("COMPLETE", 1, size)
    assert len(record["starts"]) == 1
    return record


@pytest.mark.once
@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, 0),
        ({"RANK": "1"}, 1),
        ({"RANK": ""}, 0),
        ({"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "1"}, 0),  # srun torchrun, rank 0 on the second node
        ({"RANK": "2", "LOCAL_RANK": "0", "SLURM_PROCID": "0"}, 2),
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "0"}, 1),  # Lightning in an interactive allocation
        ({"LOCAL_RANK": "-1"}, 0),  # no distributed run, for Hugging Face's programs
        ({"LOCAL_RANK": "0", "SLURM_PROCID": "1"}, 1),  # set from SLURM_LOCALID, on the second node
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, 1),
        ({"SLURM_PROCID": "0"}, 0),  # a job, or srun --pty
        ({"SLURM_PROCID": "3"}, 3),
        ({"SLURM_PROCID": "0", "OMPI_COMM_WORLD_RANK": "1"}, 1),  # mpirun inside srun
        ({"SLURM_PROCID": "1", "OMPI_COMM_WORLD_RANK": "0"}, 0),
        ({"PMI_RANK": "1"}, 1),
        ({"PMIX_RANK": "1"}, 1),
    ],
)
def test_precedence(environment: dict[str, str], number: int) -> None:
    assert process_number(environment) == number
    assert is_first_process(environment) == (number == 0)
    assert is_first_process(as_first_process(environment))


@pytest.mark.once
def test_world_size() -> None:
    assert world_size({}) is None
    assert world_size({"SLURM_NTASKS": "4"}) is None
    assert world_size({"WORLD_SIZE": "4", "SLURM_STEP_NUM_TASKS": "2"}) == 4
    assert world_size({"OMPI_COMM_WORLD_SIZE": "3", "SLURM_STEP_NUM_TASKS": "1"}) == 3


@pytest.mark.once
def test_a_start_has_the_same_name_in_all_processes() -> None:
    torchrun = {**TORCH, "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0"}
    first = start_of_all({**torchrun, "RANK": "0", "LOCAL_RANK": "0"})
    assert first is not None
    assert first == start_of_all({**torchrun, "RANK": "1", "LOCAL_RANK": "1"})
    assert first != start_of_all({**torchrun, "RANK": "0", "MASTER_PORT": "29513"})
    srun = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
    assert start_of_all({**srun, "SLURM_PROCID": "1"}) == start_of_all({**srun, "SLURM_PROCID": "0"})
    assert start_of_all({"RANK": "1"}) is None


@pytest.mark.once
def test_a_file_of_an_earlier_start_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing distinguishes two starts on the same port but the process that wrote the file."""
    for name, value in {**TORCH, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    publish = "import sys; from pathlib import Path; from mlxp_core.runs.rendezvous import publish; "
    publish += "publish(Path(sys.argv[1]), 'runs', 'old'); print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", publish, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    monkeypatch.setenv("RANK", "1")
    assert rendezvous.received(tmp_path, "runs", "has not", timeout_s=0) == "old"
    process.kill()
    process.communicate()
    # A process that began before the file was written takes it: the first process has ended early
    assert rendezvous.received(tmp_path, "runs", "has not", timeout_s=0) == "old"
    late = f"from pathlib import Path; from mlxp_core.runs.rendezvous import received; \
        received(Path({str(tmp_path)!r}), 'runs', 'has not chosen', timeout_s=0.2)".replace("        ", "")
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True)
    assert "RANK=1 says that this is not the first process of its run, and the first one has not chosen" in done.stderr


@pytest.mark.once
def test_a_rank_without_a_run(app: App) -> None:
    result = app.run(LOGGING, env={"RANK": "1"})
    assert result.status == 1
    assert "RANK=1 says that this is not the first process of its run, but nothing names the run" in result.stderr
    assert not (app.directory / "logs" / "1").exists()


@pytest.mark.once
def test_plain_processes(app: App) -> None:
    """Whichever starts first, and again on the same port."""
    run_ranks(app, LOGGING, first=1)
    run = app.directory / "logs" / "1"
    assert_one_run(run)
    assert [process["output_dir"] for process in seen(app.directory)] == [str(run)] * 2
    assert "from rank 0" in (run / "main.log").read_text()
    assert "from rank 1" not in (run / "main.log").read_text()
    assert "from rank 1" in (run / "main.rank-1.log").read_text()
    run_ranks(app, LOGGING)
    assert_one_run(app.directory / "logs" / "2")
    assert not (app.directory / "logs" / "3").exists()
    run_ranks(app, LOGGING, "hydra.callbacks.mlxp_logging.forced_log_id=1")
    assert info(run)["attempts"] == 2


@pytest.mark.once
def test_a_sweep_of_plain_processes(app: App) -> None:
    run_ranks(app, "-m", LOGGING, "x=1,2")
    for number in ("1", "2"):
        assert_one_run(app.directory / "logs" / number)
    assert not (app.directory / "logs" / "3").exists()
    assert len(list((app.directory / "logs" / "sweeps").iterdir())) == 1


@pytest.mark.once
def test_processes_with_other_overrides_are_runs_of_their_own(app: App) -> None:
    """`srun -n 2 python main.py x=$SLURM_PROCID` starts two runs."""
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    end(*[start(app, {**step, "SLURM_PROCID": rank}, LOGGING, f"x={rank}") for rank in ("0", "1")])
    runs = [app.directory / "logs" / number for number in ("1", "2")]
    assert [info(run)["status"] for run in runs] == ["COMPLETE"] * 2
    assert {line["rank"] for run in runs for line in metrics(run)} == {0, 1}


@pytest.mark.once
@pytest.mark.parametrize("version", [1, 2])
def test_lightning(app: App, version: int) -> None:
    """Lightning repeats the command; its version 1 with the working directory as run directory."""
    end(start(app, {}, LOGGING, f"ddp={version}"))
    run = app.directory / "logs" / "1"
    assert_one_run(run)
    assert [process["output_dir"] for process in seen(app.directory)] == [str(run)] * 2
    assert "from rank 1" in (run / "train_ddp_process_1.log").read_text()
    assert not (app.directory / "logs" / "2").exists()


@pytest.mark.once
@pytest.mark.parametrize("version", [1, 2])
def test_lightning_in_a_job(app: App, version: int) -> None:
    app.sweep("hydra/launcher=local", LOGGING, f"ddp={version}")
    run = app.directory / "logs" / "1"
    assert_one_run(run)
    assert [process["output_dir"] for process in seen(app.directory)] == [str(run)] * 2
    assert not (app.directory / "metadata").exists()
    assert not list(run.glob("*.pickle"))


@pytest.mark.once
def test_processes_in_a_job(app: App) -> None:
    """As if the script started torchrun."""
    app.write("main.py", PROGRAM.replace("if __name__", STARTS_RANKS + "if __name__"))
    app.sweep("hydra/launcher=local", LOGGING)
    run = app.directory / "logs" / "1"
    assert_one_run(run)
    assert [process["output_dir"] for process in seen(app.directory)] == [str(run)] * 2
    assert "from rank 1" not in (run / "main.log").read_text()
    assert "from rank 1" in (run / "main.rank-1.log").read_text()


STARTS_RANKS = f"""
if "RANK" not in os.environ and "MLXP_START" in os.environ:
    command = [sys.executable, *sys.argv]
    ranks = [{{**os.environ, **{TORCH!r}, "RANK": str(rank)}} for rank in (1, 0)]
    sys.exit(max(process.wait() for process in [subprocess.Popen(command, env=rank) for rank in ranks]))
"""


@pytest.mark.once
def test_a_launch_by_one_of_several_processes(app: App) -> None:
    """The runs are not processes of the run around them."""
    app.sweep("hydra/launcher=local", LOGGING, env={"SLURM_PROCID": "1", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"})
    assert info(app.directory / "logs" / "1")["status"] == "COMPLETE"


@pytest.mark.once
@pytest.mark.parametrize("run_from", ["copy", "repository"])
@pytest.mark.parametrize("ddp", [True, False])
def test_versioning(tmp_path: Path, run_from: str, ddp: bool) -> None:
    """The first process alone resolves the version and makes the copy, from which all run."""
    project = versioned(tmp_path)
    arguments = [VERSIONED, f"hydra.callbacks.mlxp_versioning.run_from={run_from}", f"place={tmp_path}"]
    if ddp:
        end(start(project, {}, *arguments, "ddp=2"))
    else:
        run_ranks(project, *arguments, first=1)
    record = assert_one_run(project.directory / "logs" / "1")
    code = {process["main"] for process in seen(tmp_path)}
    assert len(seen(tmp_path)) == 2
    copy = record["version_manager"]["safe_copy"]
    assert code == {str(Path(copy or project.root, project.directory.name, "main.py"))}
    assert not (project.directory / "logs" / "2").exists()
    if copy:
        assert not (Path(copy) / ".workdir").exists()


@pytest.mark.once
def test_versioning_stops_all_processes(tmp_path: Path) -> None:
    """Only the first process has a question; nobody can answer it here."""
    project = versioned(tmp_path)
    processes = [start(project, {**TORCH, "RANK": rank}, VERSIONED) for rank in ("0", "1")]
    outputs = [process.communicate(timeout=400)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    assert "mlxp_versioning has a question" in outputs[0]
    assert "The first process of this run stopped before the run" in outputs[1]


VERSIONED = "hydra/callbacks=[mlxp_logging,mlxp_versioning]"


def versioned(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project").create()
    project.write("main.py", PROGRAM)
    project.write("conf/config.yaml", CONFIG)
    project.commit()
    return project


def test_srun(slurm: Cluster) -> None:
    """With the variables of torch.distributed for each task, and a port of its own for each run."""
    app = slurm.app("ranks-srun")
    app.write("main.py", PROGRAM)
    app.write("conf/config.yaml", CONFIG)
    assert slurm.sweep(app, LOGGING, "hydra.launcher.tasks_per_node=2") == ["COMPLETED"]
    run = app.directory / "logs" / "1"
    assert_one_run(run)
    environments = [process["environment"] for process in seen(app.directory)]
    assert [environment.pop("RANK") for environment in environments] == ["0", "1"]
    assert [environment.pop("LOCAL_RANK") for environment in environments] == ["0", "1"]
    assert environments[0] == environments[1]
    assert 0 < int(environments[0].pop("MASTER_PORT")) < 65536
    assert environments[0].pop("MASTER_ADDR")
    assert environments[0] == {"NODE_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    assert "from rank 1" in (run / "main.rank-1.log").read_text()
