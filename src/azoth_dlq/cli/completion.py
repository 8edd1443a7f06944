"""`azoth-dlq completion`: the script by which a shell completes this program."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from azoth_dlq.cli.help import Command

_SHELLS: Final = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_VARIABLE: Final = "_AZOTH_DLQ_COMPLETE"  # which click reads


@click.command(
    "completion",
    cls=Command,
    short_help="Print the script that completes commands and options.",
    epilog="""\b
    Examples:
      azoth-dlq completion bash
      azoth-dlq completion zsh
      azoth-dlq completion fish

    \b
    In the file that your shell reads when it starts:
      bash  eval "$(azoth-dlq completion bash)"
      zsh   eval "$(azoth-dlq completion zsh)"
      fish  azoth-dlq completion fish | source

    Commands, options, files and the words that settings take are completed. bash must be 4.4 or
    newer; zsh needs `compinit` before that line.
    """,
)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes azoth-dlq: bash, zsh or fish."""
    program = context.find_root()
    script = _SHELLS[shell](program.command, {}, program.info_name or "", _VARIABLE)
    click.echo(script.source())
