"""From the options and the user's answers to the code that runs: one commit, and the place where it lies."""

from __future__ import annotations

from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, LaunchInterruptedError, MlxpError, NoAnswerError
from mlxp_core.interrupts import all_signals_interrupt
from mlxp_core.versioning import changes, dialogue
from mlxp_core.versioning.links import check_links, make_links
from mlxp_core.versioning.repository import Repository, Status, literally, printable
from mlxp_core.versioning.requirements import requirements
from mlxp_core.versioning.safe_copy import check_place, copy_path, safe_copy
from mlxp_core.versioning.version import CHOICES, Version, VersioningOptions, one_of, option


def settle_version(options: VersioningOptions, repository: Repository, app_file: Path) -> Version:
    """Ask what the options leave open, and make or find the safe copy.

    Args:
        app_file: the application's own file, in the repository.

    Raises:
        MlxpError: nothing was changed, or the message says what (a commit that the user asked for).
    """
    settling = _Settling(options, repository, app_file)
    with all_signals_interrupt():
        try:
            return settling.version()
        except KeyboardInterrupt:
            settling.staging.undo()
            raise LaunchInterruptedError(f"\nInterrupted. Nothing was launched.{settling.made}") from None
        except MlxpError as error:
            settling.staging.undo()
            raise type(error)(f"{error}{settling.made}") from error


class _Settling:
    """One way through the questions."""

    def __init__(self, options: VersioningOptions, repository: Repository, app_file: Path) -> None:
        self.options = options
        self.repository = repository
        self.app_file = app_file
        self.staging = changes.Staging(repository)
        self.made = ""  # what must be said when the launch stops

    def version(self) -> Version:
        status = self.repository.status()
        self._check(status)
        status = self._untracked(status)
        untracked = [printable(path) for path in status.untracked]
        status, uncommitted, commit = self._uncommitted(status)
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
            requirements=requirements(code) if self.options.compute_requirements else [],
            safe_copy=str(copy) if copy else None,
        )

    def _check(self, status: Status) -> None:
        """Find what cannot work before anything is asked or changed."""
        options = self.options
        check_links(self.repository, options.links)
        if options.run_from != "repository":
            check_place(self.repository, options.parent_work_dir)
        if options.run_from == "copy" and not self.repository.tracked_files(literally(self._app_name)):
            added = options.untracked in ("ask", "add") and self.repository.untracked_files([self._app_name])
            if not added:
                raise self._not_in_copy()
        if options.uncommitted == "commit" or (options.uncommitted == "keep" and status.changed):
            changes.check_identity(self.repository)
        changed = status.changed + (status.untracked if options.untracked == "add" else ())
        open_questions = {
            name: paths
            for name, paths in (("untracked", status.untracked), ("uncommitted", changed), ("run_from", None))
            if getattr(options, name) == "ask" and paths != ()
        }
        if open_questions and not dialogue.has_terminal():
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
                raise self._refused("untracked files", status.untracked)
            if choice == "ask":
                answer, asked = dialogue.ask_untracked(self.repository, status), True
                if answer == "c":
                    break
                if answer == "a":
                    self.staging.add(dialogue.ask_which(self.repository, status.untracked))
            else:
                for warning in dialogue.doubts(self.repository, status.untracked):
                    console.say(f"Careful: {warning}")
                self.staging.add(status.untracked)
            status = self.repository.status()
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
                raise self._refused("uncommitted changes", status.changed)
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
                raise self._refused("uncommitted changes, after the commit too,", status.changed)
        return status, outcome, status.commit

    def _commit(self, status: Status) -> None:
        self._check_submodules(status)
        changes.check_identity(self.repository)
        console.say("Committing changes....\n")
        answer = changes.commit_all(self.repository)
        self.staging.settle()
        self.made = f" The changes were committed before: {answer.splitlines()[0] if answer else 'see git log'}"
        console.say(f"{answer}\n")

    def _keep(self, status: Status) -> str:
        self._check_submodules(status)
        changes.check_identity(self.repository)
        commit = changes.keep_changes(self.repository, status.commit)
        self.staging.undo()
        return commit

    def _refused(self, what: str, paths: tuple[str, ...]) -> GitError:
        return GitError(
            f"There are {what} in {self.repository.root}: {_shown(paths)}. Commit them, or name them in .gitignore, "
            "then launch again."
        )

    def _check_submodules(self, status: Status) -> None:
        if status.submodules:
            raise GitError(
                f"The submodule {printable(status.submodules[0])} has changes of its own, which no commit of "
                f"{self.repository.root} can hold: commit them in the submodule first."
            )

    def _copy(self, commit: str) -> Path | None:
        """The safe copy; None to run from the repository."""
        path = copy_path(self.options.parent_work_dir, self.repository, commit)
        run_from = self.options.run_from
        if run_from == "ask":
            run_from = {"a": "copy", "b": "repository"}[dialogue.ask_run_from(path)]
        if run_from == "repository":
            return None
        if not self.repository.holds(commit, self._app_name):
            raise self._not_in_copy()
        copy = safe_copy(self.repository, commit, path)
        make_links(self.repository, self.options.links, copy)
        return copy

    @property
    def _app_name(self) -> str:
        return str(self.app_file.relative_to(self.repository.root))

    def _not_in_copy(self) -> GitError:
        return GitError(
            f"{self.app_file} is not in the commit, so it would not be in the safe copy: add it to git (git add, or "
            f"{option('untracked')}=add) or set {option('run_from')}=repository."
        )


def _shown(paths: tuple[str, ...]) -> str:
    more = len(paths) - 20
    return ", ".join(map(printable, paths[:20])) + (f", ... and {more} more" if more > 0 else "")
