"""The options of launchers: their names, their defaults, and the values that they refuse."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from mlxp_core.config.options import (
    BatchOptions,
    LauncherOptions,
    LocalOptions,
    OAROptions,
    SLURMOptions,
    lines_of,
    read_options,
)
from mlxp_core.errors import OptionError

pytestmark = pytest.mark.hydra


def test_names_of_hydra_submitit_launcher() -> None:
    """Users of hydra-submitit-launcher change only the launcher's name."""
    theirs = {"timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb", "name"}
    assert theirs <= {option.name for option in fields(BatchOptions)}
    slurm = {"partition", "qos", "comment", "constraint", "exclude", "gres", "cpus_per_gpu", "gpus_per_task"}
    slurm |= {"mem_per_gpu", "mem_per_cpu", "account", "additional_parameters"}
    assert slurm <= {option.name for option in fields(SLURMOptions)}


@pytest.mark.parametrize("schema", [LocalOptions, SLURMOptions, OAROptions])
def test_defaults_request_nothing(schema: type[LauncherOptions]) -> None:
    options = read_options(schema, {})
    values = {option.name: getattr(options, option.name) for option in fields(schema)}
    # Options of the launch itself
    ours = ("submit_function", "runs_per_job", "parallel_runs", "submit_retry_min", "poll_interval_s",
            "requeue_signal_s", "requeue_signal")  # fmt: skip
    assert [values.pop(name) for name in ours if name in values] in (
        ["auto"],
        ["auto", 1, 1, 10, 10, 90, "USR2"],
    )
    assert not any(values.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partiton": "x"}, "hydra.launcher.partiton is not an option of this launcher. Did you mean partition?"),
        ({"wltime": 3}, "is not an option of this launcher. The options are name, shell_path"),
        ({"timeout_min": 0}, "hydra.launcher.timeout_min must be a positive integer, got 0."),
        ({"mem_gb": -1.5}, "hydra.launcher.mem_gb must be a positive number, got -1.5."),
        ({"gpus_per_node": -1}, "hydra.launcher.gpus_per_node must be 0 or a positive integer, got -1."),
        ({"max_requeues": -1}, "hydra.launcher.max_requeues must be 0 or a positive integer, got -1."),
        ({"requeue_signal": "TERM"}, "hydra.launcher.requeue_signal must be USR1 or USR2, got TERM."),
    ],
)
def test_refused_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        read_options(SLURMOptions, values)


def test_0_gpus_can_be_requested() -> None:
    assert read_options(SLURMOptions, {"gpus_per_node": 0}).gpus_per_node == 0


@pytest.mark.parametrize(
    ("value", "lines"), [("", []), ([], []), (None, []), ("a; b", ["a; b"]), (["a", "b"], ["a", "b"])]
)
def test_lines_of(value: Any, lines: list[str]) -> None:
    assert lines_of("env_cmd", value) == lines


@pytest.mark.parametrize("value", [{"a": "b"}, [1], 3])
def test_not_lines(value: Any) -> None:
    with pytest.raises(OptionError, match="env_cmd must be a string or a list of strings"):
        lines_of("env_cmd", value)
