"""Which process of a run is the first one, from the variables of the programs that start several processes.

torchrun, accelerate, Lightning, `srun`, `mpirun` and others start the same command several times. Only the first
process keeps the run's record.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# Variables with the number of a process among all of the run, in the order of precedence: the program that is nearest
# to the process decides. `srun torchrun` sets RANK and SLURM_PROCID, and `srun mpirun` gives all its processes the
# same SLURM_PROCID
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
# They count only if RANK is not set, and only above 0: the first process of a node may be another one of the run
_LOCAL = ("LOCAL_RANK", "NODE_RANK")
# Variables with the number of processes. SLURM_NTASKS is also set in jobs that start a single process
_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
# Variables that together name one start of all processes: of torch.distributed, Open MPI and other users of PMIx, SLURM
_TORCH = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
_JOB = ("SLURM_JOB_ID", "SLURM_RESTART_COUNT")
# The id of torchrun when the user gives none
_NO_ID = ("", "none")


def is_first_process(environ: Mapping[str, str]) -> bool:
    """Return whether a process is the first one of its run, which also holds for a run of one process."""
    return process_number(environ) == 0


def process_number(environ: Mapping[str, str]) -> int:
    """Return the number of a process in its run; if only a local number is known, that."""
    variable = deciding_variable(environ)
    return (_number(environ, variable) or 0) if variable else 0


def deciding_variable(environ: Mapping[str, str]) -> str | None:
    """Return the variable that says that a process is not the first one of its run; None for the first one."""
    decides = next((name for name in _RANKS if _number(environ, name) is not None), None)
    names = (decides,) if decides == "RANK" else (decides, *_LOCAL)
    return next((name for name in names if name and _number(environ, name)), None)


def world_size(environ: Mapping[str, str]) -> int | None:
    """Return the number of processes of the run; None if it is not known."""
    return next((size for name in _SIZES if (size := _number(environ, name))), None)


def start_of_all(environ: Mapping[str, str]) -> tuple[tuple[str, ...], bool] | None:
    """Return what all processes of a run have in common, and whether no other start of a run ever has it.

    Returns:
        None if nothing names the start.
    """
    job = _values(environ, _JOB)
    if any(name in environ for name in ("RANK", *_LOCAL)) and environ.get("MASTER_PORT"):
        return ("torch", *_values(environ, _TORCH), *job), environ.get("TORCHELASTIC_RUN_ID", "") not in _NO_ID
    if environ.get("PMIX_NAMESPACE") and ("OMPI_COMM_WORLD_RANK" in environ or "PMIX_RANK" in environ):
        return ("pmix", environ["PMIX_NAMESPACE"], *job), False  # Open MPI 4 uses numbers again
    if "MPI_LOCALRANKID" in environ and "PMI_RANK" in environ:  # MPICH and Intel MPI name nothing but their own process
        if environ.get("MPI_LOCALNRANKS", environ.get("PMI_SIZE")) != environ.get("PMI_SIZE"):
            return None  # several machines, whose processes have nothing in common
        return ("mpich", str(os.getppid()), *job), False
    if "SLURM_PROCID" in environ and environ.get("SLURM_STEP_ID"):
        return ("slurm", environ["SLURM_STEP_ID"], *job), True
    return None


def as_first_process(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a run that a process starts: it is not one of the processes around it."""
    return {name: "0" if name in (*_RANKS, *_LOCAL) and value else value for name, value in environ.items()}


def _number(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() else None


def _values(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(environ.get(name, "") for name in names)
