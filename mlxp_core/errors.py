"""Our errors. Each message says what is wrong, where, and what to do next.

MlxpError
├── OptionError              an option has a value that cannot work
├── SettingsError            a project's settings file cannot be read, or holds what it must not
├── AppCommandError          this process cannot be started again by a command line
├── LaunchInsideRunError     a run tried to launch runs
├── LaunchInterruptedError   the user stopped a launch half-way
├── RunDirectoryError        a run directory cannot be numbered, made or written
├── RunRecordError           the record of a run (info.yaml) is damaged
├── RunFailedError           a run ended without a result
├── LaunchRecordError        the record of a launch is damaged, or of another kind
├── WrongUseError            a command was asked for what cannot be
│   ├── NoRunsError              there are no runs in a directory
│   ├── SelectionError           what the user named is no run, or several
│   └── ConditionError           a condition on runs cannot be read
├── GitError                 git could not do what it was asked, or the repository is in no state for it
├── NoAnswerError            a question to the user got no answer
├── SafeCopyError            the copy of the code cannot be made
├── CommandError             another program could not do what it was asked
│   ├── CommandNotFoundError     it is not on this machine
│   └── CommandTimeoutError      it did not answer
├── SchedulerUnavailableError  the scheduler does not say what it knows of its jobs
└── SubmissionError          the scheduler did not take a job
    ├── SubmissionDeferredError  not now, but it may later
    ├── AnswerUnreadableError    it did, but nobody can read which one
    └── SubmissionUnknownError   nobody can say whether it took the job
"""

from __future__ import annotations


class MlxpError(Exception):
    """Base of all errors that are meant to be read by the user."""


class OptionError(MlxpError):
    """An option has a value that cannot work."""


class SettingsError(MlxpError):
    """A project's settings file cannot be read, or holds what it must not."""


class AppCommandError(MlxpError):
    """This process cannot be started again by a command line."""


class LaunchInsideRunError(MlxpError):
    """A run that we launched tried to launch runs itself."""


class LaunchInterruptedError(MlxpError):
    """The user stopped a launch half-way."""


class RunDirectoryError(MlxpError):
    """A run directory cannot be numbered, made or written."""


class RunRecordError(MlxpError):
    """The record of a run (info.yaml) is damaged or cannot be read."""


class RunFailedError(MlxpError):
    """A run ended without leaving a result."""


class LaunchRecordError(MlxpError):
    """The record of a launch is damaged, or of another kind than this version knows."""


class WrongUseError(MlxpError):
    """A command was asked for what cannot be; its exit status is 2."""


class NoRunsError(WrongUseError):
    """There are no runs in a directory, or there is no such directory."""


class SelectionError(WrongUseError):
    """What the user named is no run, or several."""


class ConditionError(WrongUseError):
    """A condition on runs cannot be read."""


class GitError(MlxpError):
    """git could not do what it was asked, or the repository is in no state for it."""


class NoAnswerError(MlxpError):
    """A question to the user got no answer."""


class SafeCopyError(MlxpError):
    """The copy of the code cannot be made."""


class CommandError(MlxpError):
    """Another program could not do what it was asked."""


class CommandNotFoundError(CommandError):
    """A program is not on this machine."""


class CommandTimeoutError(CommandError):
    """A program did not answer in time; it may still do what it was asked."""


class SchedulerUnavailableError(MlxpError):
    """The scheduler does not say what it knows of its jobs."""


class SubmissionError(MlxpError):
    """The scheduler did not take a job."""


class SubmissionDeferredError(SubmissionError):
    """The scheduler cannot take a job now, and may later."""


class AnswerUnreadableError(SubmissionError):
    """The scheduler took a job, as far as one sees, and its class cannot read from the answer which one."""


class SubmissionUnknownError(SubmissionError):
    """Nobody can say whether the scheduler took a job."""
