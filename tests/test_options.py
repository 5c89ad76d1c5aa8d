"""The options of launchers: their names, their defaults, and what cannot be."""

from __future__ import annotations

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
    """Who comes from there changes one word."""
    theirs = {"timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb", "name"}
    assert theirs <= {option.name for option in fields(BatchOptions)}
    slurm = {"partition", "qos", "comment", "constraint", "exclude", "gres", "cpus_per_gpu", "gpus_per_task"}
    slurm |= {"mem_per_gpu", "mem_per_cpu", "account", "additional_parameters"}
    assert slurm <= {option.name for option in fields(SLURMOptions)}


@pytest.mark.parametrize("schema", [LocalOptions, SLURMOptions, OAROptions])
def test_nothing_is_asked_for_by_default(schema: type[LauncherOptions]) -> None:
    options = read_options(schema, {})
    values = {option.name: getattr(options, option.name) for option in fields(schema)}
    # What says how the launch itself goes on
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
        ({"partiton": "x"}, "did you mean partition?"),
        ({"wltime": 3}, "is not an option of this launcher; it has: name, shell_path"),
        ({"timeout_min": 0}, "timeout_min=0 cannot be: give a number above 0"),
        ({"mem_gb": -1.5}, "mem_gb=-1.5 cannot be"),
        ({"gpus_per_node": -1}, "gpus_per_node=-1 cannot be"),
        ({"max_requeues": -1}, "max_requeues=-1 cannot be"),
        ({"requeue_signal": "TERM"}, "requeue_signal=TERM cannot be: it is USR1 or USR2"),
    ],
)
def test_impossible_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_options(SLURMOptions, values)


def test_no_gpu_is_a_request_too() -> None:
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
