"""The `mlxp` command. Exit statuses: 0 success, 1 something failed, 2 wrong use."""

from __future__ import annotations

import sys

import click

from mlxp_core import console
from mlxp_core.cli.cancel import cancel
from mlxp_core.cli.clean import clean
from mlxp_core.cli.log import log
from mlxp_core.cli.ls import ls
from mlxp_core.cli.rerun import rerun
from mlxp_core.cli.resubmit import resubmit
from mlxp_core.cli.resume import resume
from mlxp_core.cli.show import show
from mlxp_core.cli.table import table
from mlxp_core.cli.watch import watch
from mlxp_core.errors import MlxpError, WrongUseError

_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Look at runs": (ls, show, log, watch, table),
    "Start runs again": (resume, resubmit, rerun),
    "Cancel and delete": (cancel, clean),
}
# Words of other tools, with our command for them
_OTHER_NAMES = {
    "status": "ls",
    "list": "ls",
    "tail": "log -f",
    "stop": "cancel",
    "kill": "cancel",
    "retry": "resubmit --failed",
    "delete": "clean --runs",
    "rm": "clean --runs",
}


class _CommandGroup(click.Group):
    """The commands, listed by task in the help."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                limit = formatter.width - formatter.current_indent - width - 2
                summaries = [(command.name or "", command.get_short_help_str(limit)) for command in commands]
                formatter.write_dl([(name.ljust(width), summary) for name, summary in summaries])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in _OTHER_NAMES:
            ctx.fail(f"No such command {args[0]!r}. Did you mean 'mlxp {_OTHER_NAMES[args[0]]}'?")
        return super().resolve_command(ctx, args)


@click.group(cls=_CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hydra-mlxp", message="%(package)s %(version)s")
def cli() -> None:
    """List, follow, cancel, resubmit and clean up the runs of hydra-mlxp.

    Start it where you launched the runs: it looks for them in ./logs. For runs in other directories, such as Hydra's
    multirun, name the directory: mlxp ls multirun.

    \b
    Examples:
      mlxp ls --status FAILED,TIMEOUT
      mlxp show 12
      mlxp log 12 -f
      mlxp resubmit --failed

    See 'mlxp COMMAND --help' for the options of a command, with examples.
    """


for command in (command for commands in _SECTIONS.values() for command in commands):
    cli.add_command(command)


def main() -> None:
    """Run the command; print an error of ours as a sentence on stderr."""
    try:
        cli(prog_name="mlxp")
    except MlxpError as error:
        console.say(str(error), sys.stderr)
        sys.exit(2 if isinstance(error, WrongUseError) else 1)
