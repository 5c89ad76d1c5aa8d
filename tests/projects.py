"""Applications in real git repositories, for tests of versioning."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs import PROBE, App, Result, info

# The probe, with a module of its own
MAIN = PROBE.replace(
    "    seen = {", "    import answer\n\n    seen = {\n        'answer': [answer.VALUE, answer.__file__],"
)
BOTH = "hydra/callbacks=[mlxp_logging,mlxp_versioning]"


def option(**values: object) -> list[str]:
    """Return overrides for options of mlxp_versioning."""
    return [f"hydra.callbacks.mlxp_versioning.{name}={value}" for name, value in values.items()]


COPY = [BOTH, *option(run_from="copy")]


@dataclass(frozen=True)
class State:
    """The parts of a repository that a launch must not change."""

    head: str
    refs: str
    status: str
    index: bytes


class Project(App):
    """An application in `tutorial/` of a git repository; `directory` is where it is started."""

    @property
    def root(self) -> Path:
        """The top of the repository."""
        return self.directory.parent

    def give(self) -> None:
        subprocess.run(["chown", "-R", f"{self.user}:", str(self.root)], check=True)

    def git(self, *arguments: str) -> str:
        """Run git at the top of the repository; it must succeed."""
        result = self.call("git", "-C", str(self.root), *arguments)
        assert result.status == 0, result.text
        return result.stdout.strip()

    def create(self) -> Project:
        """Create the repository, with one commit."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.user:
            self.give()
        self.git("init", "-q", "-b", "main")
        (self.root / ".git" / "info" / "exclude").write_text("__pycache__/\n")
        self.git("config", "user.name", "A Student")
        self.git("config", "user.email", "student@example.org")
        self.write("main.py", MAIN)
        self.write("answer.py", "VALUE = 1\n")
        self.write("conf/config.yaml", "x: 1\naction: null\n")
        self.commit()
        return self

    def commit(self) -> str:
        """Commit everything; return the hash."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a commit")
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def copies(self) -> list[Path]:
        """Return the safe copies, and everything else in their directory."""
        return sorted(path for path in self.directory.glob(".workdir/*/*") if path.name != ".gitignore")

    def state(self) -> State:
        """Return the state, which must be the same after a launch that changes nothing."""
        index = (Path(self.root) / self.git("rev-parse", "--git-path", "index")).read_bytes()
        refs = self.git("for-each-ref", "--format=%(refname) %(objectname)")
        head = f"{self.head} {self.git('branch', '--show-current')}"
        return State(head, refs, self.call("git", "--no-optional-locks", "status", "--porcelain").stdout, index)

    def records(self) -> list[dict[str, Any]]:
        """Return the content of info.yaml of each run."""
        return [info(run) for run in self.runs()]

    def launch(self, *arguments: str, **kwargs: Any) -> Result:
        """Start the application in a safe copy; it must succeed."""
        result = self.run(*arguments, *COPY, **kwargs)
        assert result.status == 0, result.text
        return result


_SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


def virtual_environment(directory: Path, outer: str) -> str:
    """Create an environment that also has the packages of another; return the path of its Python."""
    subprocess.run([outer, "-m", "venv", "--without-pip", str(directory)], check=True)
    python = str(directory / "bin" / "python")
    own, outer_packages = (
        subprocess.check_output([one, "-c", _SITE_PACKAGES], text=True).strip() for one in (python, outer)
    )
    Path(own, "outer.pth").write_text(f"import site; site.addsitedir({outer_packages!r})\n")
    return python


def install_editable(project: Project, *settings: str, outer: str) -> None:
    """Install a project into its environment by `pip install -e`, with the pip of another environment."""
    pip = [outer, "-m", "pip", "--disable-pip-version-check", "--python", project.python, "install", "-q", "--no-deps"]
    subprocess.run([*pip, *settings, "-e", str(project.root)], check=True)
