"""The logging handler for metrics: dicts that the application logs to `metrics.<name>` are appended to <name>.json.

    logging.getLogger("metrics.train").info({"loss": 0.31, "epoch": 0})

Whatever the application logs and whatever happens to the disk, the application continues.
"""

from __future__ import annotations

import fcntl
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from mlxp_core import console, yaml_files
from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import read_if_there, write_whole
from mlxp_core.metrics.file import MetricsFile
from mlxp_core.metrics.names import LOGGER, SUFFIX, file_of, prefix_of
from mlxp_core.metrics.scalars import SCALAR_TYPES, Scalar, split_scalars

# Maximum number of files kept open: a process may open few
_MAX_OPEN_FILES = 64

log = logging.getLogger(__name__)


def start_metrics(directory: Path | None) -> None:
    """Write records of `metrics` and the loggers below it to files, and no longer to the job's log.

    Args:
        directory: Directory of the files; None to drop the records.

    Raises:
        OSError: The directory cannot be read.
    """
    stop_metrics()  # of an earlier job in this process, whose end Hydra 1.3 may not have reported
    logger = logging.getLogger(LOGGER)
    logger.addHandler(MetricsHandler(directory, before=(logger.level, logger.propagate)))
    # Whatever hydra.job_logging and hydra.verbose say
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    logger.propagate = False
    for name, known in logger.manager.loggerDict.items():
        if isinstance(known, logging.Logger) and f"{name}.".startswith(f"{LOGGER}."):
            known.disabled = False


def stop_metrics() -> None:
    """Make `metrics` an ordinary logger again."""
    logger = logging.getLogger(LOGGER)
    for handler in list(logger.handlers):
        if isinstance(handler, MetricsHandler):
            logger.removeHandler(handler)
            level, logger.propagate = handler.before
            logger.setLevel(level)
            handler.end()


class MetricsHandler(logging.Handler):
    """Writes the metrics of one attempt of one run.

    Args:
        directory: Directory of the files; None to drop the records.
        before: Level and `propagate` of the logger before it got this handler.
    """

    def __init__(self, directory: Path | None, before: tuple[int, bool]) -> None:
        super().__init__()
        self.before = before
        self._directory = directory
        found = directory.rglob(f"*{SUFFIX}") if directory else ()
        self._earlier = {path: path.stat() for path in found if path.is_file()}
        self._files: dict[str, MetricsFile] = {}
        # POSIX locks belong to a process and end with it
        self._lock_file = tempfile.TemporaryFile()  # noqa: SIM115  # until the end
        self._warned: set[tuple[str, str]] = set()
        self._lost: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's dict to its file; pass a record that holds a text on to the root logger's handlers."""
        values, name = record.msg, record.name
        try:
            file = self._files.get(name)
            # Nearly all records take this short way, as this is in the application's loops
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
        except Exception as error:  # the values' own code may raise anything, and the training must continue
            self._lost[name] += 1
            self._warn(
                name,
                "lost",
                f"a record was lost: {error} The run continues; the number of lost records is reported at its end.",
            )

    def close(self) -> None:
        """Close the files; a record that comes later opens its file again."""
        for file in self._files.values():
            file.close()
        super().close()

    def end(self) -> None:
        """Close the files for good, and report how many records were lost."""
        self.close()
        self._lock_file.close()
        for name, number in self._lost.items():
            self._warn(name, "end", f"{number} records could not be written.")

    def _write(self, file: MetricsFile, name: str, values: Mapping[Any, Any]) -> None:
        plain, rejected = split_scalars(values)
        for key, reason in rejected.items():
            advice = "Log float(...) of it, or save it in the run's artifacts."
            self._warn(name, f"left out {key}", f"'{key}' is left out: {reason}. {advice}")
        if plain or not rejected:
            self._append(file, name, plain)
            if not plain.keys() <= file.keys:
                file.keys |= plain.keys()
                self._list_keys()

    def _append(self, file: MetricsFile, name: str, values: dict[str, Scalar]) -> None:
        try:
            file.supersede(values)
        except RunDirectoryError as error:
            self._warn(name, "kept", f"{error} Lines of an earlier attempt remain next to the new ones.")
        file.append((json.dumps(values) + "\n").encode())
        if len(self._files) > _MAX_OPEN_FILES:
            file.close()

    def _file(self, directory: Path, name: str) -> MetricsFile:
        path = directory / file_of(name)
        superseded = (directory / ".superseded" / file_of(name)).with_suffix(".jsonl")
        self._files[name] = MetricsFile(path, superseded, self._earlier.get(path), self._exclusive)
        return self._files[name]

    def _list_keys(self) -> None:
        """Add the keys of all records to .keys/metrics.yaml, where readers of MLXP's layout look for them."""
        assert self._directory is not None
        path = self._directory / ".keys" / "metrics.yaml"
        keys = [prefix_of(file_of(name)) + key for name, file in self._files.items() for key in file.keys]
        try:
            with self._exclusive():
                listed = yaml_files.load(read_if_there(path) or b"{}")
                if not set(keys) <= listed.keys():
                    write_whole(path, yaml_files.dump(dict.fromkeys(sorted({*listed, *keys}, key=str), "")))
        except (RunDirectoryError, yaml.YAMLError, ValueError) as error:
            self._warn(LOGGER, "keys", f"{path} does not list all keys: {error}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Lock out the processes that this one was forked from or has forked."""
        fcntl.lockf(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock_file, fcntl.LOCK_UN)

    def _pass_on(self, record: logging.LogRecord) -> None:
        # One of the application's own modules may be named metrics and log texts
        text = record.getMessage()  # fails here and not in other handlers, which print a traceback
        root = logging.getLogger()
        if self.before[1] and root.isEnabledFor(record.levelno):
            root.callHandlers(record)
        if self._directory is not None:
            self._warn(
                record.name,
                "text",
                f"{_short(text)} is not a dict of numbers. It went to the job's log only, and so will others like it. "
                f'Log a metric with logging.getLogger("{record.name}").info({{"loss": 0.31, "epoch": 0}}).',
            )

    def _warn(self, name: str, kind: str, text: str) -> None:
        """Log a warning about a logger, once per kind; print it where hydra.job_logging is disabled."""
        if (name, kind) not in self._warned:
            self._warned.add((name, kind))
            text = f"Logger '{name}' of metrics: {text}"
            if log.isEnabledFor(logging.WARNING):
                log.warning("%s", text)
            else:
                console.say(text, sys.stderr)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
