"""The operators' command line: what every command has in common. The commands are those of operations/command_line.py.

Exit codes, of every command (docs/operating.md#exit-codes): 0 done, and nothing is left to do; 1 something is in the
way, or could not be looked at; 2 what was typed was not understood, and nothing was done; 3 what was asked about is
failing, or something is left to do; 130 interrupted. Where both 1 and 3 hold, it is 3.
"""

import io
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperArgument, TyperGroup, TyperOption

from invoicekey.runtime.errors import RetryLater
from operations.deployment.trouble import DEFAULT_STACK, NotUnderstood, Trouble
from operations.terminal import streams

if TYPE_CHECKING:
    from operations.deployment.shop import Shop

IN_THE_WAY, NOT_UNDERSTOOD, FAILING, INTERRUPTED = streams.IN_THE_WAY, 2, 3, streams.INTERRUPTED
HELP = ["-h", "--help"]
GENERAL = ("--stack", "--profile", "--region")

_AN_ID = "The order's id, the marketplace's number, or the order's link in the Admin"
Order = Annotated[str, typer.Argument(metavar="ORDER", help=f"{_AN_ID}.")]
Orders = Annotated[list[str], typer.Argument(metavar="ORDER", help=f"{_AN_ID}; one or more.")]
Account = Annotated[str | None, typer.Option(metavar="NAME", help="The VTEX account, where there are several.")]


class Format(StrEnum):
    """How a list is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class Commands(TyperGroup):
    """The commands, whose help flows to the terminal's width: its lines end where those of a docstring do."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command."""
        command = super().get_command(ctx, cmd_name)
        for one in (command, *getattr(command, "commands", {}).values()) if command else ():
            one.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in (one.help or "").split("\n\n"))
        return command


class ListFirst(TyperGroup):
    """Commands of which `list` is meant where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        is_named = bool(args) and (not args[0].startswith("-") or args[0] in HELP)
        return super().parse_args(ctx, args if is_named else ["list", *args])


def _placeholder(parameter: TyperOption | TyperArgument, _: object) -> str:
    """Return what stands behind an option in the help: its choices, else nothing."""
    return "|".join(map(str, parameter.type_descriptor.choices or ()))


# Typer writes <str> and <bool> there, Python's types, which mean nothing to an operator.
TyperOption.display_type = _placeholder  # type: ignore[assignment,method-assign]
TyperArgument.display_type = _placeholder  # type: ignore[assignment,method-assign]

app = typer.Typer(
    name="invoicekey",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": HELP},
    help="Watches that every CNova order invoiced at VTEX carries a good NF-e access key. This is for its operators.",
)


class Screen(Console):
    """Wraps at blanks on a terminal, which itself would cut words; elsewhere a line stays a line, to be searched."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print as rich does."""
        super().print(*objects, soft_wrap=not self.is_terminal if soft_wrap is None else soft_wrap, **options)


# Without emoji: the `:secret:` of an ARN is no picture.
out = Screen(highlight=False, emoji=False)
err = Screen(stderr=True, highlight=False, emoji=False)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from operations.deployment.template import version

        out.print(f"invoicekey {version()}")
        raise typer.Exit


@app.callback()
def begin(
    context: typer.Context,
    stack: Annotated[str, typer.Option(metavar="NAME", envvar="STACK", help="The deployment.")] = DEFAULT_STACK,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="As the AWS CLI's.")] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="As the AWS CLI's.")] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version, and end.")
    ] = False,
) -> None:
    """Take what every command takes."""
    context.obj = lambda: shop_of(stack, profile, region)


def shop_of(stack: str, profile: str | None, region: str | None) -> "Shop":
    """Return the shop of a stack; what asks AWS and VTEX is imported here."""
    from operations.deployment import shop

    return shop.shop_of(stack, profile, region)


def shop(context: typer.Context) -> "Shop":
    """Return the shop that the command is about."""
    made: Shop = context.obj()
    return made


def can_ask() -> bool:
    """Say whether somebody is there who could answer a question."""
    return sys.stdin is not None and sys.stdin.isatty()


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; whatever is in the way is told in one line."""
    _replace_what_cannot_be_shown()
    try:
        code = 0 if _helps(arguments) else app(_general_first(arguments), prog_name="invoicekey", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as misunderstood:
        _tell_usage(misunderstood)
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
        return _in_the_way(said) if (said := streams.refused(error)) else IN_THE_WAY
    return code if isinstance(code, int) else 0


def _replace_what_cannot_be_shown() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a tick where there is only Latin-1


def _helps(arguments: Sequence[str]) -> bool:
    """Show the help of the command that is named, where nothing else is typed; say whether it was.

    Typer would first read the general options, and what it reads with takes as long to load as all the rest.
    """
    *words, last = arguments or [""]
    if last not in HELP:
        return False
    context = typer.Context(typer.main.get_command(app), info_name=app.info.name, help_option_names=HELP)
    for word in words:
        group: Any = context.command
        if not isinstance(group, TyperGroup) or not (command := group.get_command(context, word)):
            return False
        context = typer.Context(command, info_name=word, parent=context)
    context.command.get_help(context)
    return True


def _tell_usage(misunderstood: Any) -> None:
    """Say what was not understood, without the words of the library that found it."""
    if isinstance(said := getattr(misunderstood, "message", None), str):
        misunderstood.message = said.replace("Value error, ", "").replace("Input should", "it should")
    misunderstood.show()


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
