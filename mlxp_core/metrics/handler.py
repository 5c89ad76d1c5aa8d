"""Metrics: dicts that the application logs to `metrics.<name>` are appended to <name>.json.

    logging.getLogger("metrics.train").info({"loss": 0.31, "epoch": 0})

Whatever is logged and whatever the disk does, the application goes on.
"""

from __future__ import annotations

import fcntl
import logging
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from mlxp_core import console
from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import read_if_there, write_whole
from mlxp_core.metrics.file import MetricsFile
from mlxp_core.metrics.scalars import SCALAR_TYPES, Scalar, encode, scalars

_LOGGER = "metrics"
# Files that stay open, at most: a process may have few
_OPEN_FILES = 64

# libyaml's, where PyYAML has it, are much faster
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

log = logging.getLogger(__name__)


def start_metrics(directory: Path | None) -> None:
    """Write what is logged to `metrics` and below it into `directory` and not into the job's log; None drops it.

    Raises:
        OSError: the directory cannot be read.
    """
    stop_metrics()  # of a job in this process whose end nobody was told of: Hydra 1.3 may skip the hook
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(MetricsHandler(directory, before=(logger.level, logger.propagate)))
    # Whatever hydra.job_logging and hydra.verbose say
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    logger.propagate = False
    for name, known in logger.manager.loggerDict.items():
        if isinstance(known, logging.Logger) and f"{name}.".startswith(f"{_LOGGER}."):
            known.disabled = False


def stop_metrics() -> None:
    """Make `metrics` a logger like any other again."""
    logger = logging.getLogger(_LOGGER)
    for handler in list(logger.handlers):
        if isinstance(handler, MetricsHandler):
            logger.removeHandler(handler)
            level, logger.propagate = handler.before
            logger.setLevel(level)
            handler.end()


class MetricsHandler(logging.Handler):
    """Writes the metrics of one attempt of one run.

    Args:
        directory: where; None for nowhere.
        before: level and `propagate` of the logger before this came to it.
    """

    def __init__(self, directory: Path | None, before: tuple[int, bool]) -> None:
        super().__init__()
        self.before = before
        self._directory = directory
        found = directory.rglob("*.json") if directory else ()
        self._earlier = {path: path.stat() for path in found if path.is_file()}
        self._files: dict[str, MetricsFile] = {}
        # POSIX locks go by process, and end with it
        self._lock_file = tempfile.TemporaryFile()  # noqa: SIM115  # until the end
        self._told: set[tuple[str, str]] = set()
        self._lost: Counter[str] = Counter()

    def handle(self, record: logging.LogRecord) -> bool:
        """As every handler does, but for filters: nobody has this one to add any, and looking for them costs."""
        assert self.lock is not None
        with self.lock:
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's dict; its text, where it has one instead, goes where it would have gone."""
        values, name = record.msg, record.name
        try:
            file = self._files.get(name)
            # So are nearly all records, and this is in the application's loops
            if (
                file
                and type(values) is dict
                and values.keys() <= file.keys
                and SCALAR_TYPES.issuperset(map(type, values.values()))
            ):
                self._append(file, name, values)
            elif not isinstance(values, Mapping):
                self._pass_on(record)
            elif self._directory is not None:
                self._write(file or self._file(self._directory, name), name, values)
        except Exception as error:  # what the values' own code raises is not known; the training goes on
            self._lost[name] += 1
            self._warn(name, "lost", f"a record is lost: {error} The run goes on; its end says how many were lost.")

    def close(self) -> None:
        """Close the files; a line that comes all the same opens its file again."""
        for file in self._files.values():
            file.close()
        super().close()

    def end(self) -> None:
        """Close for good, and say what was lost."""
        self.close()
        self._lock_file.close()
        for name, number in self._lost.items():
            self._warn(name, "end", f"{number} records could not be written.")

    def _write(self, file: MetricsFile, name: str, values: Mapping[Any, Any]) -> None:
        plain, others = scalars(values)
        for key, reason in others.items():
            advice = "Log float(...) of it, or save it in the run's artifacts."
            self._warn(name, f"left out {key}", f"'{key}' is left out: {reason}. {advice}")
        if plain or not others:
            self._append(file, name, plain)
            if not plain.keys() <= file.keys:
                file.keys |= plain.keys()
                self._list_keys()

    def _append(self, file: MetricsFile, name: str, values: dict[str, Scalar]) -> None:
        try:
            file.supersede(values)
        except RunDirectoryError as error:
            self._warn(name, "kept", f"{error} Lines of an earlier attempt stay beside the new ones.")
        file.append((encode(values) + "\n").encode())
        if len(self._files) > _OPEN_FILES:
            file.close()

    def _file(self, directory: Path, name: str) -> MetricsFile:
        # Dots and slashes separate, so that no name leads out of the directory
        parts = [part for part in re.split(r"[./]", name)[1:] if part] or [_LOGGER]
        path = directory.joinpath(*parts[:-1], f"{parts[-1]}.json")
        superseded = directory.joinpath(".superseded", *parts[:-1], f"{parts[-1]}.jsonl")
        self._files[name] = MetricsFile(path, superseded, self._earlier.get(path), self._alone)
        return self._files[name]

    def _list_keys(self) -> None:
        """Add the keys of all records to those listed, for readers that look for them there."""
        assert self._directory is not None
        path = self._directory / ".keys" / "metrics.yaml"
        keys = [f"{name.removeprefix(f'{_LOGGER}.')}.{key}" for name, file in self._files.items() for key in file.keys]
        try:
            with self._alone():
                listed = yaml.load(read_if_there(path) or b"{}", _LOADER)
                if not set(keys) <= listed.keys():
                    write_whole(path, yaml.dump(listed | dict.fromkeys(keys, ""), Dumper=_DUMPER, allow_unicode=True))
        except (RunDirectoryError, yaml.YAMLError) as error:
            self._warn(_LOGGER, "keys", f"{path} does not list all keys: {error}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep out the processes that this one was forked from, or that were forked from it."""
        fcntl.lockf(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock_file, fcntl.LOCK_UN)

    def _pass_on(self, record: logging.LogRecord) -> None:
        # A module of the application's own may be called metrics, and log texts
        text = record.getMessage()  # fails here and not in other handlers, which print a traceback
        root = logging.getLogger()
        if self.before[1] and root.isEnabledFor(record.levelno):
            root.callHandlers(record)
        if self._directory is not None:
            self._warn(
                record.name,
                "text",
                f"{_short(text)} is no dict of numbers and went to the job's log alone, as all such will. A "
                f'metric is logged by logging.getLogger("{record.name}").info({{"loss": 0.31, "epoch": 0}}).',
            )

    def _warn(self, name: str, kind: str, text: str) -> None:
        """Say something of a logger, once; also where hydra.job_logging is disabled."""
        if (name, kind) not in self._told:
            self._told.add((name, kind))
            text = f"Logger '{name}' of metrics: {text}"
            if log.isEnabledFor(logging.WARNING):
                log.warning("%s", text)
            else:
                console.say(text, sys.stderr)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
