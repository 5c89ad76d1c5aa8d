"""Decide which code runs: from the options and the user's answers to one commit, and the directory it runs from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, LaunchInterruptedError, MlxpError, NoAnswerError
from mlxp_core.interrupts import STOP_SIGNALS, interrupts_blocked, raise_on_signals
from mlxp_core.prompts import has_terminal
from mlxp_core.versioning import changes, dialogue
from mlxp_core.versioning.git_command import listed, literally, printable
from mlxp_core.versioning.links import check_links, linked_paths
from mlxp_core.versioning.repository import Repository, Status
from mlxp_core.versioning.requirements import requirements
from mlxp_core.versioning.safe_copy import check_place, copy_path, safe_copy
from mlxp_core.versioning.snapshot import keep_snapshot
from mlxp_core.versioning.source_check import RECORDED_FILES
from mlxp_core.versioning.version import CHOICES, Version, VersioningOptions, one_of, option

# The answers that an error message suggests: no file is added, and the branch does not change
_SUGGESTED = {"untracked": "ignore", "uncommitted": "keep", "run_from": "copy"}


def resolve_version(
    options: VersioningOptions, repository: Repository, app_files: Sequence[Path], use: Callable[[Version], None]
) -> None:
    """Ask what the options leave open, create or find the safe copy, and pass the version to `use`.

    Args:
        options: Options of mlxp_versioning.
        repository: Repository of the application.
        app_files: Files of the application, in directories without symbolic links.
        use: Function to call with the version. Its errors are reported like those of this function.

    Raises:
        MlxpError: The launch cannot continue. The repository is as it was before; what remains changed, such as a
            commit that the user asked for, is in the message.
    """
    resolver = _VersionResolver(options, repository, app_files)
    with raise_on_signals():
        try:
            use(resolver.resolve())
        except KeyboardInterrupt:
            raise LaunchInterruptedError(f"\nInterrupted. Nothing was launched.{resolver.undo()}") from None
        except MlxpError as error:
            raise type(error)(f"{error}{resolver.undo()}") from error
        except BaseException:
            resolver.undo()
            raise


class _VersionResolver:
    """The state of one resolution: what was asked and changed so far."""

    def __init__(self, options: VersioningOptions, repository: Repository, app_files: Sequence[Path]) -> None:
        self.options = options
        self.repository = repository
        names = [file.relative_to(repository.root) for file in app_files if file.is_relative_to(repository.root)]
        self.app_files = [str(name) for name in names]
        self.staging = changes.Staging(repository)
        # Untracked files to add to a commit that is for this launch only
        self.added: list[str] = []
        # A sentence about the commit that was made, to report if the launch stops
        self.committed = ""

    def undo(self) -> str:
        """Unstage what was added; return what remains changed, as sentences with a blank before each."""
        remains = self.staging.undo()
        return f" {remains}{self.committed}" if remains else self.committed

    def resolve(self) -> Version:
        """Ask, change and copy what is needed; return the version."""
        status = self.repository.status()
        self._check(status)
        for path in status.unseen:
            console.say(f"Warning: the submodule {printable(path)} has untracked files, which are not in its commit.\n")
        status = self._resolve_untracked(status)
        untracked = _for_record([*status.untracked, *(f"{path}/" for path in status.unseen)])
        status, uncommitted, commit = self._resolve_uncommitted(status)
        if uncommitted == "ignored":  # what was added is in no commit
            untracked += _for_record(self.staging.paths)
        copy, links = self._copy(commit)
        code = copy or self.repository.root
        snapshot = keep_snapshot(self.repository, status.commit, status.changed) if copy is None else None
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
            links=[printable(str(link.relative_to(self.repository.root))) for link in links],
            snapshot=str(snapshot) if snapshot else None,
        )

    def _check(self, status: Status) -> None:
        """Check what can be checked before anything is asked or changed."""
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
            raise self._no_terminal(open_questions)

    def _no_terminal(self, questions: dict[str, tuple[str, ...] | None]) -> NoAnswerError:
        files = [f"{name.capitalize()} files in {self.repository.root}: {listed(paths)}\n"
                 for name, paths in questions.items() if paths]  # fmt: skip
        settings = [f"{option(name)} to {one_of(CHOICES[name][1:])}" for name in questions]
        return NoAnswerError(
            "mlxp_versioning has a question, and there is no terminal to ask it on. Nothing was launched.\n"
            f"{''.join(files)}Set {', and '.join(settings)}. For example:\n"
            + " ".join(f"{option(name)}={_SUGGESTED[name]}" for name in questions)
        )

    def _resolve_untracked(self, status: Status) -> Status:
        """Add or leave untracked files; return the status after that."""
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
                    console.say(f"Warning: {warning}")
                if self.options.uncommitted == "keep":  # other programs may be using the index: do not change it
                    changes.check_addable(self.repository, status.untracked)
                    self.added = list(status.untracked)
                    return replace(status, changed=status.changed + status.untracked, untracked=())
                self.staging.add(status.untracked)
            status = self.repository.status()
            if choice == "add" and status.untracked:
                raise self._refused(
                    "untracked", "untracked files, which appeared while others were added", status.untracked
                )
        if asked and not status.untracked:
            console.say("No more untracked files!\n")
        return status

    def _resolve_uncommitted(self, status: Status) -> tuple[Status, str, str]:
        """Commit, keep or leave changes; return the status after that, a word for the record, and the commit to run."""
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
                raise self._refused("uncommitted", "uncommitted changes even after the commit", status.changed)
        return status, outcome, status.commit

    def _commit(self, status: Status) -> None:
        self._check_stuck(status)
        changes.check_identity(self.repository)
        console.say("Committing changes....\n")
        with interrupts_blocked(STOP_SIGNALS):  # the commit is made and reported, or not made
            answer = changes.commit_all(self.repository)
            self.staging.confirm()
            self.committed = (
                f" The changes are already committed: {answer.splitlines()[0] if answer else 'see git log'}"
            )
        console.say(f"{answer}\n")

    def _keep(self, status: Status) -> str:
        self._check_stuck(status)
        changes.check_identity(self.repository)
        commit = changes.keep_changes(self.repository, status.commit, [*self.staging.paths, *self.added])
        if remains := self.staging.undo():
            console.say(f"Warning: {remains}\n")
        return commit

    def _refused(self, name: str, what: str, paths: tuple[str, ...]) -> GitError:
        advice = {
            "untracked": "Add them to git, name them in .gitignore, or set {} to add or ignore.",
            "uncommitted": "Commit them, or set {} to commit, keep or ignore.",
        }[name]
        return GitError(
            f"There are {what} in {self.repository.root}: {listed(paths)}. {advice.format(option(name))} Nothing was "
            "launched."
        )

    def _check_stuck(self, status: Status) -> None:
        for path, reason in status.stuck.items():
            raise GitError(f"{printable(path)} in {self.repository.root} cannot be committed, because {reason}.")

    def _copy(self, commit: str) -> tuple[Path | None, list[Path]]:
        """Return the safe copy of a commit, None if the code runs from the repository, and the links in it."""
        options = self.options
        run_from, links = options.run_from, []
        if run_from != "repository":
            links = linked_paths(self.repository, options.links, options.parent_work_dir)
        path = copy_path(options.parent_work_dir, self.repository, commit, links)
        if run_from == "ask":
            run_from = {"a": "copy", "b": "repository"}[dialogue.ask_run_from(path)]
        if run_from == "repository":
            return None, []
        for name in self.app_files:
            if not self.repository.has(commit, name):
                raise self._not_in_copy(name)
        return safe_copy(self.repository, commit, path, links), links

    def _not_in_copy(self, name: str) -> GitError:
        return GitError(
            f"{self.repository.root / name} is not in the commit, so it would not be in the safe copy: add it to git "
            f"(git add, or {option('untracked')}=add) or set {option('run_from')}=repository."
        )


def _for_record(paths: Sequence[str]) -> list[str]:
    more = len(paths) - RECORDED_FILES
    return [printable(path) for path in paths[:RECORDED_FILES]] + ([f"... and {more} more"] if more > 0 else [])
