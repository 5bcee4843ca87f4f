"""The operators' command line: one file a command, put together here.

Exit codes: 0 done; 1 something is in the way, and nothing was changed; 2 the command was not understood; 3 what was
asked about is failing (see each command's help); 130 interrupted.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from invoicekey.runtime.errors import RetryLater
from operations.deployment.shop import Shop, shop_of
from operations.deployment.stack import DEFAULT_STACK, NotUnderstood, Trouble
from operations.deployment.template import version

IN_THE_WAY, NOT_UNDERSTOOD, FAILING, INTERRUPTED = 1, 2, 3, 130
GENERAL = ("--stack", "--profile", "--region")

_AN_ID = "The order's id, the marketplace's number, or the order's link in the Admin"
Order = Annotated[str, typer.Argument(metavar="ORDER", help=f"{_AN_ID}.")]
Orders = Annotated[list[str], typer.Argument(metavar="ORDER", help=f"{_AN_ID}; one or more.")]
Account = Annotated[str | None, typer.Option(metavar="NAME", help="The VTEX account, where there are several.")]

app = typer.Typer(
    name="invoicekey",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Watches that every CNova order invoiced at VTEX carries a good NF-e access key. This is for its operators.",
)
# Without emoji: the `:secret:` of an ARN is no picture.
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        out.print(f"invoicekey {version()}")
        raise typer.Exit


@app.callback()
def begin(
    context: typer.Context,
    stack: Annotated[str, typer.Option(envvar="STACK", help="The deployment.")] = DEFAULT_STACK,
    profile: Annotated[str | None, typer.Option(help="As the AWS CLI's.")] = None,
    region: Annotated[str | None, typer.Option(help="As the AWS CLI's.")] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version, and end.")
    ] = False,
) -> None:
    """Take what every command takes."""
    context.obj = lambda: shop_of(stack, profile, region)


def shop(context: typer.Context) -> Shop:
    """Return the shop that the command is about."""
    made: Shop = context.obj()
    return made


def can_ask() -> bool:
    """Say whether somebody is there who could answer a question."""
    return sys.stdin is not None and sys.stdin.isatty()


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; whatever is in the way is told in one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a tick where there is only Latin-1
    try:
        code = app(_general_first(arguments), prog_name="invoicekey", standalone_mode=False)
    except typer.TyperException as misunderstood:
        misunderstood.show()  # type: ignore[attr-defined]
        return int(misunderstood.exit_code)
    except Trouble as trouble:
        in_the_way = _in_the_way(str(trouble))
        return NOT_UNDERSTOOD if isinstance(trouble, NotUnderstood) else in_the_way
    except RetryLater as trouble:
        return _in_the_way(f"It cannot be done now: {trouble.why}. Try again later.")
    except (KeyboardInterrupt, typer.Abort):
        err.print("\ninterrupted")
        return INTERRUPTED
    except OSError as error:
        return _refused_by_the_system(error)
    return code if isinstance(code, int) else 0


def _refused_by_the_system(error: OSError) -> int:
    """Tell it, as of a full disk; what could not be written is not tried again at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _in_the_way(f"{error.filename or 'The output'} cannot be read or written: {error.strerror or error}.")


def _in_the_way(what: str) -> int:
    err.print(what, style="red", markup=False)
    return IN_THE_WAY


def _general_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with --stack, --profile and --region in front: people write them wherever they like."""
    first: list[str] = []
    others: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in GENERAL:
            first += [argument, *([value] if (value := next(rest, None)) is not None else [])]
        elif argument.startswith(tuple(f"{option}=" for option in GENERAL)):
            first.append(argument)
        else:
            others.append(argument)
    return first + others
