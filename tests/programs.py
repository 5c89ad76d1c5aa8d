"""Starting applications as a user does: as programs of their own, in a directory of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.warm_start import warm

LOGGING = "hydra/callbacks=mlxp_logging"
# An application that writes down what it sees of its start into its run directory.
PROBE = """
import json, os, sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config: DictConfig) -> object:
    job = HydraConfig.get().job
    main_module = sys.modules["__main__"]
    known = {key: None if OmegaConf.is_missing(job, key) else job[key] for key in ("num", "id", "name")}
    seen = {
        "config": OmegaConf.to_container(config, resolve=True),
        "job": known,
        "choices": dict(HydraConfig.get().runtime.choices),
        "cwd": os.getcwd(),
        "output_dir": HydraConfig.get().runtime.output_dir,
        "python": sys.executable,
        "flags": [sys.flags.optimize, sys.flags.dev_mode, sorted(sys._xoptions)],
        "unbuffered": getattr(sys.stdout, "write_through", None),
        "main": [os.path.realpath(main_module.__file__), main_module.__spec__ and main_module.__spec__.name],
        "environment": {key: value for key, value in os.environ.items() if key.startswith("PROBE_")},
        "pythonpath": os.environ.get("PYTHONPATH"),
    }
    Path(seen["output_dir"], "seen.json").write_text(json.dumps(seen))
    print("a line on stdout", flush=True)
    print("a line on stderr", file=sys.stderr)
    action = config.get("action")
    if action == "raise":
        raise ValueError("told to fail")
    if action == "kill":
        os.kill(os.getpid(), 9)
    if isinstance(action, str) and action.startswith("exit"):
        sys.exit(int(action[4:]))
    if isinstance(action, str) and action.startswith("sleep"):
        import time

        time.sleep(float(action[5:]))
    return config.get("x")


if __name__ == "__main__":
    main()
"""


@dataclass
class Result:
    """How a program ended: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


@dataclass
class App:
    """An application in a directory, and how to start it.

    Attributes:
        directory: where it is started.
        python: the interpreter that starts it.
        environment: its whole environment.
        user: whom it runs as; None for this user.
    """

    directory: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    user: str | None = None

    def run(
        self, *arguments: str, program: tuple[str, ...] = ("main.py",), env: Mapping[str, str] | None = None
    ) -> Result:
        """Start `python main.py ARGUMENTS` and wait for it; by a fork of a warmed Python where that is the same."""
        return self.call(self.python, *program, *arguments, env=env)

    def sweep(self, *arguments: str, **kwargs: Any) -> Result:
        """Start a sweep that must be launched without an error."""
        result = self.run("-m", *arguments, **kwargs)
        assert result.status == 0, result.text
        return result

    def call(self, *argv: str, env: Mapping[str, str] | None = None, timeout: float = 900) -> Result:
        """Run any command in the application's directory, as its user."""
        environment = {**self.environment, "PWD": str(self.directory), **(env or {})}
        if argv[0] == str(Path(self.python).with_name("mlxp")):
            argv = (self.python, *argv)
        if server := warm(argv, environment):
            return Result(*server.run(argv, self.directory, environment, self.user, timeout))
        process = subprocess.run(
            argv,
            cwd=self.directory,
            env=environment,
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )
        return Result(process.returncode, process.stdout, process.stderr)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start any command there, in a session of its own, and do not wait for it."""
        return subprocess.Popen(
            argv,
            cwd=self.directory,
            env={**self.environment, "PWD": str(self.directory)},
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 120) -> None:
        """Wait until something is so."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.1)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the application."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if self.user:
            self.give()
        return path

    def give(self) -> None:
        """Make the directory the user's own."""
        # A job may remove a temporary file meanwhile
        subprocess.run(["chown", "-R", f"{self.user}:", str(self.directory)], check=False, stderr=subprocess.DEVNULL)

    def write_probe(self, config: str = "x: 1\naction: null\n") -> App:
        """Make it the probe."""
        self.write("main.py", PROBE)
        self.write("conf/config.yaml", config)
        return self

    def runs(self) -> list[Path]:
        """The run directories, in the order of their numbers, whoever made them."""
        found = [path.parent for path in self.directory.rglob("seen.json")]
        return sorted(found, key=lambda path: (len(path.name), path.name))

    def seen(self) -> list[dict[str, Any]]:
        """What each run of the probe saw, in the order of their job numbers."""
        seen = [json.loads((run / "seen.json").read_text()) for run in self.runs()]
        return sorted(seen, key=lambda run: run["job"]["num"] or 0)


def info(run: Path) -> dict[str, Any]:
    """A run's record, wherever Hydra's output subdirectory is."""
    (path,) = [run / name / "info.yaml" for name in ("metadata", ".hydra", "") if (run / name / "info.yaml").exists()]
    record: dict[str, Any] = yaml.safe_load(path.read_text())
    return record
