"""A warmed Python that starts programs by forking, for tests; run as a program of its own by `warm_start`.

Most of what a start of `python main.py` costs is imports: Hydra, OmegaConf, this package. Here they are done once. Each
program is a fork that gets what a new process would have: user, directory, environment, standard streams, signals,
`__main__`, `sys.argv`, `sys.orig_argv`, `sys.path`, and what /proc says about its command line and environment.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

# What a launch, a job or `mlxp` imports. Not git: importing it fails without the program git, which tests hide
MODULES = (
    *("hydra", "hydra.core.hydra_config", "hydra.core.plugins", "hydra._internal.hydra", "hydra._internal.utils"),
    *("hydra._internal.core_plugins.basic_launcher", "hydra._internal.core_plugins.basic_sweeper"),
    *("hydra._internal.logging_config", "importlib.readers", "importlib.resources.readers", "omegaconf._impl"),
    *("hydra_plugins.hydra_joblib_launcher.config", "hydra_plugins.hydra_optuna_sweeper.config", "antlr4.LL1Analyzer"),
    *("hydra._internal.config_loader_impl", "hydra._internal.config_repository", "hydra.experimental.callback"),
    *("yaml", "rich.console", "rich.progress", "rich.table", "tenacity", "submitit", "click", "cloudpickle"),
    *("hydra_plugins.mlxp.launchers", "mlxp_core.cli", "mlxp_core.sweeps.batch", "mlxp_core.sweeps.local"),
    *(
        "mlxp_core.callbacks.logging_callback",
        "mlxp_core.callbacks.versioning_callback",
        "mlxp_core.launch.resume",
        "mlxp_core.schedulers",
    ),
)
_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_kept: list[Any] = []


def warm_up() -> None:
    for name in MODULES:
        with suppress(ImportError):  # a name of another version of Hydra, or of this package
            importlib.import_module(name)
    read_a_little()
    gc.collect()
    gc.freeze()


def read_a_little() -> None:
    """Fill the caches of the two parsers, with the grammar of overrides and that of interpolations."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    words = (
        "x=1,2",
        "+a.b=[1,{c: 'd e'}]",
        "hydra/launcher=local",
        "a/b@c=d,e",
        "~x",
        "x=range(3)",
        "x=1.5e-3,true,null",
    )
    OverridesParser.create().parse_overrides(list(words))
    texts = ("${a}/${b.c}", "multirun/${oc.env:HOME,${a}}/${a}_x", "${.d}", "${oc.select:a,'x y'}")
    config = OmegaConf.create({"a": 1, "b": {"c": "${..a}", "d": 2}, **{f"t{n}": text for n, text in enumerate(texts)}})
    for name in ("t0", "t1", "t3"):
        config[name]


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each request; return in the fork that is to become the program."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 4, socket.MSG_CMSG_CLOEXEC)
        if not message:
            os._exit(0)
        if os.fork():  # the kernel collects that process
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        channel = socket.socket(fileno=descriptors[3])
        if child := os.fork():  # this process waits for the program, and reports how it ended
            for descriptor in (0, 1, 2, *descriptors[:3]):
                os.close(descriptor)
            channel.sendall(f"{child}\n".encode())
            _, status = os.waitpid(child, 0)
            with suppress(OSError):  # the test has given up
                channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        with channel:
            request: dict[str, Any] = json.loads(channel.makefile().readline())
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return request


class _Map(ctypes.Structure):
    """The kernel's `struct prctl_mm_map`."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("start_code", "end_code", "start_data", "end_data", "start_brk", "brk")),
        *((name, ctypes.c_uint64) for name in ("start_stack", "arg_start", "arg_end", "env_start", "env_end", "auxv")),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    )


def tell_proc(argv: list[str], environment: dict[str, str]) -> None:
    """Have /proc/self/cmdline and /proc/self/environ say what they say of a new process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sbrk.restype = ctypes.c_void_p
    with open("/proc/self/stat") as file:  # noqa: PTH123
        words = ["", "", *file.read().rpartition(")")[2].split()]
    place = dict(start_code=26, end_code=27, start_stack=28, start_data=45, end_data=46, start_brk=47)
    new = _Map(**{name: int(words[number - 1]) for name, number in place.items()}, brk=libc.sbrk(0), exe_fd=2**32 - 1)
    for name, entries in (("arg", argv), ("env", [f"{name}={value}" for name, value in environment.items()])):
        memory = ctypes.create_string_buffer(os.fsencode("\0".join(entries)))
        _kept.append(memory)
        setattr(new, f"{name}_start", ctypes.addressof(memory))
        setattr(new, f"{name}_end", ctypes.addressof(memory) + len(memory))
    if libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, ctypes.byref(new), ctypes.sizeof(new), 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def become(request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Take over all that a new process of the request would have; return its code and its globals."""
    argv, environment = request["argv"], request["environment"]
    tell_proc(argv, environment)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(request["directory"])
    os.umask(request["umask"])
    if request["user"] is not None:
        uid, gid = request["user"]
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    sys.orig_argv[:], sys.argv[:] = argv, argv[1:]
    path = os.path.join(os.getcwd(), argv[1])  # noqa: PTH109  # as the interpreter joins it
    sys.path[0] = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    importlib.invalidate_caches()
    main = ModuleType("__main__")
    loader = SourceFileLoader("__main__", path)
    main.__dict__.update(__file__=path, __builtins__=builtins, __loader__=loader, __cached__=None, __annotations__={})
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = main

    def show(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Show an uncaught error without the frame of this file."""
        sys.__excepthook__(kind, error.with_traceback(trace.tb_next), trace.tb_next)

    sys.excepthook = show
    return compile(loader.get_data(path), path, "exec", dont_inherit=True), main.__dict__


if __name__ == "__main__":
    _control = socket.socket(fileno=int(sys.argv[1]))
    _control.set_inheritable(False)
    tell_proc(sys.orig_argv, dict(os.environ))  # fails where the system forbids it
    _control.send(b"ready")
    warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _request = serve(_control)
    _code, _globals = become(_request)
    exec(_code, _globals)
