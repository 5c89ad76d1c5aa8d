"""An application whose launches can be killed at any step, and what its runs did."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.clusters import Cluster
from tests.programs import App, Result

# An application in which each run appends a line to a file of its own. One process can launch it many times: once for
# each NAME or NAME,STEP,DELAY in LAUNCHES. Such a launch writes to the directory NAME. It is killed just before its
# STEP, or DELAY ms after the step began. Steps are changes of the file system and external commands; STEP is the number
# of one, or its name as in the file "steps".
KILLED = """
import os, signal, sys, time, traceback
from pathlib import Path

CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.link"}


def is_step(event, arguments):
    if event in ("subprocess.Popen", "fcntl.flock"):
        return True
    is_change = event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if not is_change or isinstance(arguments[0], int):
        return False
    path = os.path.abspath(os.fsdecode(arguments[1] if event == "os.symlink" else arguments[0]))
    return path.startswith(os.getcwd() + "/") and "__pycache__" not in path


def kill(milliseconds):
    launcher = os.getpid()
    if not milliseconds or not os.fork():
        try:
            time.sleep(milliseconds / 1000)
            os.kill(launcher, signal.SIGKILL)
        finally:
            os._exit(0)


def watch(event=None, delay="0"):
    steps = []

    def hook(kind, arguments):
        if is_step(kind, arguments):
            target = arguments[1] if kind in ("os.rename", "os.symlink") else arguments[0]
            steps.append(f"{kind}:{os.path.basename(str(target))}")
            if event in (str(len(steps)), steps[-1]):
                kill(int(delay))

    sys.addaudithook(hook)
    return steps


def each(action):
    for one in os.environ["LAUNCHES"].split():
        child = os.fork()
        if not child:
            name, *kill = one.split(",")
            steps, status = watch(*kill), 0
            try:
                action(name)
            except SystemExit as end:
                status = end.code
            except BaseException:
                traceback.print_exc()
                status = 1
            found = " ".join(steps)
            Path("steps").write_text(found)
            sys.stdout.flush()
            os._exit(status or 0)
        if os.WIFEXITED(status := os.waitpid(child, 0)[1]) and status:
            sys.exit(f"{one} failed")


def resume_each():
    import mlxp_core.launch.resume, mlxp_core.schedulers, tenacity
    from mlxp_core.cli import cli

    each(lambda name: cli(["resume", name]))


if __name__ == "__main__":
    if "MLXP_RUN_DIR" in os.environ:
        name, x = (word.partition("=")[2] for word in sys.argv if word.startswith(("name=", "x=")))
        file = os.open(f"ran/{name}-{x}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, b"ran\\n")
        sys.exit()

    import hydra
    import hydra_plugins.mlxp.launchers, mlxp_core.sweeps.batch, tenacity

    @hydra.main(version_base=None, config_path="conf", config_name="config")
    def main(config):
        pass

    def launch(name):
        sys.argv[1:] = [word.replace("NAME", name) for word in sys.argv[1:]]
        main()

    each(launch) if "LAUNCHES" in os.environ else main()
"""


def install(app: App) -> App:
    """Make an application the one above."""
    app.write("conf/config.yaml", "name: null\nx: null\n")
    app.write("ran/.keep", "")
    app.write("main.py", KILLED)
    return app


def resume(app: App, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run `mlxp resume`."""
    return app.call(str(Path(app.python).with_name("mlxp")), "resume", *arguments, env=env)


def wait_for_all(cluster: Cluster, app: App) -> None:
    """Wait until the scheduler has no unfinished job of this application."""
    question = {"slurm": ["squeue", "-h", "-o", "%o"], "oar": ["oarstat", "-J"]}[cluster.launcher]
    end = time.monotonic() + 900  # OAR starts a job a second, and less when the machine is busy
    plain = re.findall(r"[/\w-]+", str(app.directory), re.ASCII)[0]  # a part that no answer quotes
    while plain in cluster.output(*question):
        assert time.monotonic() < end
        time.sleep(0.5)


def ran(app: App) -> Counter[str]:
    """Return how often each value ran."""
    return Counter({path.name: path.read_text().count("ran") for path in (app.directory / "ran").glob("[!.]*")})
