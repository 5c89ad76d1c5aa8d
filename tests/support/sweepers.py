"""A sweeper that shows what its runs returned, and applications whose runs end in many ways."""

from __future__ import annotations

import re
import subprocess

from tests.clusters import Cluster
from tests.programs import App

VALUES = """
import dataclasses, json, sys
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper


class ShowingSweeper(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments):
        whats = arguments[0].partition("=")[2].strip("[]").split(",")
        for job in self.launcher.launch([[f"what={what}"] for what in whats], 0):
            print("RETURN", job.status.name, job.overrides, repr(job._return_value), job.task_name, sep="|")


ConfigStore.instance().store(group="hydra/sweeper", name="showing",
                             node={"_target_": "hydra_plugins.showing.sweeper.ShowingSweeper"})
"""


RETURNS = """
import os, sys
from dataclasses import dataclass
import hydra

@dataclass
class Mine:
    number: int

class MyError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    what = config.what
    if what == "mine":
        return Mine(3)
    if what == "function":
        return lambda: 4
    if what == "generator":
        return (number for number in range(3))
    if what == "error":
        raise MyError(1, 2)
    if what == "key":
        raise KeyError("absent")
    if what == "killed":
        os.kill(os.getpid(), 9)
    if what == "left":
        sys.exit(5)
    if what == "late":
        import atexit
        atexit.register(os._exit, 6)
    return {"loss": 0.5}

if __name__ == "__main__":
    main()
"""


FATES = """
import sys, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    began = Path(HydraConfig.get().runtime.output_dir, "began")
    again = began.exists()
    began.touch()
    what = config.what
    if what == "value" or (again and what in ("requeued", "resubmitted")):
        return 7
    if what == "hog":
        memory = bytearray(3_000_000_000)
    if what == "resubmitted":
        time.sleep(62)  # OAR resubmits only jobs that ran for a minute
        sys.exit(99)
    time.sleep(300)

if __name__ == "__main__":
    main()
"""


def with_showing_sweeper(app: App, program: str) -> App:
    """Add a program to an application, and a sweeper that prints the results for `whats`."""
    app.write("hydra_plugins/showing/__init__.py", "")
    app.write("hydra_plugins/showing/sweeper.py", VALUES)
    app.write("main.py", program)
    app.write("conf/config.yaml", "what: value\n")
    app.environment["PYTHONPATH"] = str(app.directory)
    return app


def returned(stdout: str, whats: list[str]) -> dict[str, str]:
    """Return what the sweeper got for each: the status, and the value or error."""
    lines = [line.split("|") for line in re.findall(r"^RETURN\|(.*)$", stdout, re.MULTILINE)]
    return {what: f"{line[0]} {line[2]}" for what, line in zip(whats, lines, strict=True)}


def start(cluster: Cluster, app: App, whats: list[str], *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep with this sweeper, and do not wait for it."""
    words = [
        "main.py",
        "-m",
        "hydra/sweeper=showing",
        f"hydra/launcher={cluster.launcher}",
        f"+whats=[{','.join(whats)}]",
    ]
    options = ["hydra.launcher.poll_interval_s=1", "hydra/callbacks=mlxp_logging", *arguments]
    return app.start(app.python, "-u", *words, *options)
