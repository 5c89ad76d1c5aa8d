"""A SLURM of one test's own, beside the shared one: its controller may be stopped and frozen, its node may fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clusters import Cluster, start

_SHARED = Path("/etc/slurm/slurm.conf")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def write_config(directory: Path, **values: object) -> Path:
    """The shared SLURM's configuration with a controller in that directory, another node, and other values."""
    own = {
        "ClusterName": directory.name.replace("-", "_"),
        "SlurmctldPort": free_port(),
        "SlurmctldPidFile": directory / "controller.pid",
        "SlurmctldLogFile": directory / "controller.log",
        "StateSaveLocation": directory,
        **values,
    }
    text = re.sub(r"\bPort=\d+", f"Port={free_port()}", _SHARED.read_text())  # the node's
    lines = [line for line in text.splitlines() if line.partition("=")[0] not in own]
    config = directory / "slurm.conf"
    config.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in own.items()), ""]))
    shutil.chown(directory, "slurm")
    return config


@dataclass(frozen=True)
class OwnSlurm(Cluster):
    """A SLURM whose daemons are this process's children."""

    directory: Path = Path()

    def start_controller(self) -> subprocess.Popen[bytes]:
        controller = self._start("slurmctld")
        end = time.monotonic() + 300
        environment = {**os.environ, **self.environment}
        while b"is UP" not in subprocess.run(["scontrol", "ping"], env=environment, capture_output=True).stdout:
            assert controller.poll() is None, (self.directory / "controller.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        return controller

    def start_node(self) -> subprocess.Popen[bytes]:
        node = self._start("slurmd", "-N", "node1")
        self.wait_for(lambda: self.output("sinfo", "-h", "-N", "-p", "main", "-o", "%t").strip() == "idle", 120)
        return node

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*words, "-D"],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @contextmanager
    def without_controller(self) -> Iterator[None]:
        """Stop the controller until the end of the block."""
        _end(self._controller)
        try:
            yield
        finally:
            _controllers[self.directory] = self.start_controller()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the controller stand still until the end of the block."""
        self._controller.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._controller.send_signal(signal.SIGCONT)

    @property
    def _controller(self) -> subprocess.Popen[bytes]:
        return _controllers[self.directory]


_controllers: dict[Path, subprocess.Popen[bytes]] = {}


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.wait(timeout=180)


@contextmanager
def accounts_of(cluster: str) -> Iterator[None]:
    """Have the shared accounts know another cluster until the end of the block."""
    subprocess.run(["sacctmgr", "-iQ", "add", "cluster", cluster], check=True, capture_output=True)
    try:
        yield
    finally:
        time.sleep(1)  # until the accounts know how its last jobs ended; else they keep it
        subprocess.run(["sacctmgr", "-iQ", "delete", "cluster", cluster], capture_output=True)


@contextmanager
def own_slurm(**values: object) -> Iterator[OwnSlurm]:
    """Bring up a SLURM with such values in its configuration."""
    shared = start("slurm")
    directory = Path(tempfile.mkdtemp(prefix="slurm-", dir="/var/tmp"))
    directory.chmod(0o755)
    directory = directory.rename(directory.with_name(directory.name.lower()))
    node = {"SlurmdPidFile": directory / "node.pid", "SlurmdLogFile": directory / "node.log"}
    node["SlurmdSpoolDir"] = directory / "node"
    # sbatch and squeue give up after MessageTimeout, 10 s otherwise
    config = write_config(directory, MessageTimeout=3, KillWait=2, **node, **values)
    environment: Mapping[str, str] = {"SLURM_CONF": str(config)}
    slurm = OwnSlurm(shared.launcher, shared.user, shared.python, environment, directory)
    try:
        _controllers[directory] = slurm.start_controller()
        try:
            node_daemon = slurm.start_node()
            try:
                yield slurm
            finally:
                slurm.output("scancel", f"--user={slurm.user}")
                slurm.wait_for(lambda: not slurm.output("squeue", "-h"), 60)
                _end(node_daemon)
        finally:
            _end(_controllers.pop(directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
