"""From the options and the user's answers to the code that runs: one commit, and the place where it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, LaunchInterruptedError, MlxpError, NoAnswerError
from mlxp_core.interrupts import STOP_SIGNALS, interrupts_blocked, raise_on_signals
from mlxp_core.prompts import has_terminal
from mlxp_core.versioning import changes, dialogue
from mlxp_core.versioning.git_command import literally, printable
from mlxp_core.versioning.links import check_links, make_links
from mlxp_core.versioning.repository import Repository, Status
from mlxp_core.versioning.requirements import requirements
from mlxp_core.versioning.safe_copy import check_place, copy_path, safe_copy
from mlxp_core.versioning.version import CHOICES, Version, VersioningOptions, one_of, option

# Untracked names that each run's record holds
_RECORDED = 1_000


def resolve_version(
    options: VersioningOptions, repository: Repository, app_files: Sequence[Path], use: Callable[[Version], None]
) -> None:
    """Ask what the options leave open, make or find the safe copy, and use what was settled.

    Args:
        options: what is answered already.
        repository: whose code it is.
        app_files: the application's own files, without symbolic links in their directories.
        use: what is done with the answer; its errors are told like all others here.

    Raises:
        MlxpError: nothing was changed, or the message says what (a commit that the user asked for).
    """
    settling = _VersionResolver(options, repository, app_files)
    with raise_on_signals():
        try:
            use(settling.version())
        except KeyboardInterrupt:
            raise LaunchInterruptedError(f"\nInterrupted. Nothing was launched.{settling.take_back()}") from None
        except MlxpError as error:
            raise type(error)(f"{error}{settling.take_back()}") from error
        except BaseException:
            settling.take_back()
            raise


class _VersionResolver:
    """One way through the questions."""

    def __init__(self, options: VersioningOptions, repository: Repository, app_files: Sequence[Path]) -> None:
        self.options = options
        self.repository = repository
        names = [file.relative_to(repository.root) for file in app_files if file.is_relative_to(repository.root)]
        self.app_files = [str(name) for name in names]
        self.staging = changes.Staging(repository)
        self.added: list[str] = []  # untracked files that go into a commit for this launch alone
        self.made = ""  # what must be said when the launch stops

    def take_back(self) -> str:
        """Leave the repository as it was; what cannot be taken back, as a sentence."""
        try:
            self.staging.undo()
        except GitError as error:
            return f" {error}{self.made}"
        return self.made

    def version(self) -> Version:
        status = self.repository.status()
        self._check(status)
        for path in status.unseen:
            console.say(f"Careful: the submodule {printable(path)} has untracked files, which are not in its commit.\n")
        status = self._untracked(status)
        untracked = _recorded([*status.untracked, *(f"{path}/" for path in status.unseen)])
        status, uncommitted, commit = self._uncommitted(status)
        if uncommitted == "ignored":  # what was added is in no commit
            untracked += _recorded(self.staging.paths)
        copy = self._copy(commit)
        code = copy or self.repository.root
        if copy or uncommitted == "kept":
            changes.keep_commit(self.repository, commit)
        return Version(
            commit_hash=commit,
            repo_path=str(self.repository.root),
            branch=status.branch,
            uncommitted=uncommitted,
            untracked=untracked,
            requirements=requirements(code, self.repository.root) if self.options.compute_requirements else [],
            safe_copy=str(copy) if copy else None,
        )

    def _check(self, status: Status) -> None:
        """Find what cannot work before anything is asked or changed."""
        options = self.options
        check_links(self.repository, options.links)
        if options.run_from != "repository":
            check_place(self.repository, options.parent_work_dir)
        for name in self.app_files if options.run_from == "copy" else []:
            if not self.repository.tracked_files(literally(name)):
                can_be_added = options.untracked in ("ask", "add") and self.repository.untracked_files([name])
                if not can_be_added:
                    raise self._not_in_copy(name)
        changed = status.changed + (status.untracked if options.untracked == "add" else ())
        if changed and options.uncommitted in ("commit", "keep"):
            changes.check_identity(self.repository)
        open_questions = {
            name: paths
            for name, paths in (("untracked", status.untracked), ("uncommitted", changed), ("run_from", None))
            if getattr(options, name) == "ask" and paths != ()
        }
        if open_questions and not has_terminal():
            raise self._nobody_to_ask(open_questions)

    def _nobody_to_ask(self, questions: dict[str, tuple[str, ...] | None]) -> NoAnswerError:
        files = [f"{name}: {_shown(paths)}" for name, paths in questions.items() if paths]
        settings = [f"{option(name)} to {one_of(CHOICES[name][1:])}" for name in questions]
        return NoAnswerError(
            "mlxp_versioning has a question, and there is no terminal to ask it on. Nothing was launched.\n"
            + "".join(f"In {self.repository.root} are {line}\n" for line in files)
            + f"Set {' and '.join(settings)}."
        )

    def _untracked(self, status: Status) -> Status:
        choice = self.options.untracked
        asked = False
        while status.untracked and choice != "ignore":
            if choice == "refuse":
                raise self._refused("untracked", "untracked files", status.untracked)
            if choice == "ask":
                answer, asked = dialogue.ask_untracked(self.repository, status), True
                if answer == "c":
                    break
                if answer == "a":
                    self.staging.add(dialogue.ask_which(self.repository, status.untracked))
            else:
                for warning in dialogue.doubts(self.repository, status.untracked):
                    console.say(f"Careful: {warning}")
                if self.options.uncommitted == "keep":  # the index, which others may be using, is left alone
                    changes.check_addable(self.repository, status.untracked)
                    self.added = list(status.untracked)
                    return replace(status, changed=status.changed + status.untracked, untracked=())
                self.staging.add(status.untracked)
            status = self.repository.status()
            if choice == "add" and status.untracked:
                raise self._refused(
                    "untracked", "untracked files, which came while others were added", status.untracked
                )
        if asked and not status.untracked:
            console.say("No more untracked files!\n")
        return status

    def _uncommitted(self, status: Status) -> tuple[Status, str, str]:
        """What becomes of changes: the status then, a word for the record, and the commit."""
        choice = self.options.uncommitted
        outcome = "none"
        while status.changed:
            answer = dialogue.ask_uncommitted(status) if choice == "ask" else choice
            if answer == "refuse":
                raise self._refused("uncommitted", "uncommitted changes", status.changed)
            if answer in ("c", "ignore"):
                return status, "ignored", status.commit
            if answer in ("d", "keep"):
                return status, "kept", self._keep(status)
            if answer in ("a", "commit"):
                self._commit(status)
                outcome = "committed"
            status = self.repository.status()
            if not status.changed:
                console.say("No more uncommitted changes!\n")
            elif choice == "commit":
                raise self._refused("uncommitted", "uncommitted changes, after the commit too", status.changed)
        return status, outcome, status.commit

    def _commit(self, status: Status) -> None:
        self._check_stuck(status)
        changes.check_identity(self.repository)
        console.say("Committing changes....\n")
        with interrupts_blocked(STOP_SIGNALS):  # it is made and noted, or not made
            answer = changes.commit_all(self.repository)
            self.staging.settle()
            self.made = f" The changes were committed before: {answer.splitlines()[0] if answer else 'see git log'}"
        console.say(f"{answer}\n")

    def _keep(self, status: Status) -> str:
        self._check_stuck(status)
        changes.check_identity(self.repository)
        commit = changes.keep_changes(self.repository, status.commit, [*self.staging.paths, *self.added])
        self.staging.undo()
        return commit

    def _refused(self, name: str, what: str, paths: tuple[str, ...]) -> GitError:
        advice = {
            "untracked": "Add them to git, name them in .gitignore, or set {} to add or ignore.",
            "uncommitted": "Commit them, or set {} to commit, keep or ignore.",
        }[name]
        return GitError(
            f"There are {what} in {self.repository.root}: {_shown(paths)}. {advice.format(option(name))} Nothing was "
            "launched."
        )

    def _check_stuck(self, status: Status) -> None:
        for path, reason in status.stuck.items():
            raise GitError(f"{printable(path)} in {self.repository.root} cannot be committed, because {reason}.")

    def _copy(self, commit: str) -> Path | None:
        """The safe copy; None to run from the repository."""
        path = copy_path(self.options.parent_work_dir, self.repository, commit)
        run_from = self.options.run_from
        if run_from == "ask":
            run_from = {"a": "copy", "b": "repository"}[dialogue.ask_run_from(path)]
        if run_from == "repository":
            return None
        for name in self.app_files:
            if not self.repository.holds(commit, name):
                raise self._not_in_copy(name)
        copy = safe_copy(self.repository, commit, path)
        make_links(self.repository, self.options.links, copy)
        return copy

    def _not_in_copy(self, name: str) -> GitError:
        return GitError(
            f"{self.repository.root / name} is not in the commit, so it would not be in the safe copy: add it to git "
            f"(git add, or {option('untracked')}=add) or set {option('run_from')}=repository."
        )


def _recorded(paths: Sequence[str]) -> list[str]:
    more = len(paths) - _RECORDED
    return [printable(path) for path in paths[:_RECORDED]] + ([f"... and {more} more"] if more > 0 else [])


def _shown(paths: tuple[str, ...]) -> str:
    more = len(paths) - 20
    return ", ".join(map(printable, paths[:20])) + (f", ... and {more} more" if more > 0 else "")
