"""The errors of this package. Each message says what is wrong, where, and what to do next."""

from __future__ import annotations


class MlxpError(Exception):
    """Base class of all errors that are meant for the user."""


class OptionError(MlxpError):
    """An option has a value that is not allowed."""


class SettingsError(MlxpError):
    """A project's settings file cannot be read, or its content is not allowed."""


class AppCommandError(MlxpError):
    """No command line can start this application again."""


class LaunchInsideRunError(MlxpError):
    """A run that we launched tried to launch runs."""


class LaunchInterruptedError(MlxpError):
    """The user interrupted a launch."""


class RunDirectoryError(MlxpError):
    """A run directory cannot be numbered, created, read or written."""


class RunRecordError(MlxpError):
    """The record of a run (info.yaml) is damaged or cannot be read."""


class RunActiveError(MlxpError):
    """A run that has not ended was started again in its directory."""


class RunFailedError(MlxpError):
    """A run ended without a result."""


class LaunchRecordError(MlxpError):
    """The record of a launch is damaged, or was written by another version."""


class WrongUseError(MlxpError):
    """A command was used in a way that makes no sense; its exit status is 2."""


class NoRunsError(WrongUseError):
    """A directory does not exist, or contains no runs."""


class SelectionError(WrongUseError):
    """The user's selection names no run, or several where one is needed."""


class ConditionError(WrongUseError):
    """A condition on runs cannot be parsed."""


class ExtraMissingError(MlxpError, ImportError):
    """An optional library is not installed."""


class GitError(MlxpError):
    """A git command failed, or the state of the repository does not allow the operation."""


class NoAnswerError(MlxpError):
    """A question to the user was not answered."""


class SafeCopyError(MlxpError):
    """A safe copy of the code cannot be created or used."""


class CommandError(MlxpError):
    """Another program failed."""


class CommandNotFoundError(CommandError):
    """A program is not installed."""


class CommandTimeoutError(CommandError):
    """A program did not respond in time; it may still finish its work."""


class SchedulerUnavailableError(MlxpError):
    """A scheduler does not respond to queries about its jobs."""


class SubmissionError(MlxpError):
    """A scheduler did not accept a job."""


class SubmissionDeferredError(SubmissionError):
    """A scheduler cannot accept a job now, but may accept it later."""


class AnswerUnreadableError(SubmissionError):
    """A scheduler seems to have accepted a job, but its class found no job id in the answer."""


class SubmissionUnknownError(SubmissionError):
    """It is unknown whether a scheduler accepted a job."""
