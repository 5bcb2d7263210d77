"""The ``trader`` command: arguments in, one frozen config, run; the only place that maps errors to exit codes."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from trader_sdk.contract.errors import EXIT_SIGINT, EXIT_USAGE, SdkError, StorageError
from trader_sdk.signals import keep_kill_signal

COMMANDS: Final[tuple[tuple[str, str, str], ...]] = (
    ("run", "trader_sdk.cli.run:run", "Trade approved models on paper, on Alpaca or on the embedded exchange."),
    ("backtest", "trader_sdk.cli.backtest:backtest", "Run one model over history: same decisions, sizing and costs."),
    ("inspect", "trader_sdk.cli.inspect:inspect", "Say what a file is; safe on anything."),
    ("status", "trader_sdk.cli.status:status", "Say what the last run did, also when the trader is down."),
    ("why", "trader_sdk.cli.why:why", "Say why a symbol was or was not traded."),
    ("orders", "trader_sdk.cli.status:orders", "List the orders of a run."),
    ("positions", "trader_sdk.cli.status:positions", "List the sleeves' positions of a run."),
    ("fills", "trader_sdk.cli.status:fills", "List or export the fills of a run."),
    ("halt", "trader_sdk.cli.operate:halt", "Stop opening positions and cancel our orders."),
    ("resume", "trader_sdk.cli.operate:resume", "Trade again: acknowledge what held it back."),
    ("flatten", "trader_sdk.cli.operate:flatten", "Close our positions and open no others."),
    ("report", "trader_sdk.cli.report:report", "Draw what a run did: a page, its numbers and pictures."),
    ("replay", "trader_sdk.cli.replay:replay", "Decide a journal again, bit for bit."),
    ("golive", "trader_sdk.cli.golive:golive", "Say what is missing before real money, and arm it."),
    ("doctor", "trader_sdk.cli.doctor:doctor", "Check that everything is there that a run needs."),
    ("reconcile", "trader_sdk.cli.reconcile:reconcile", "Compare journal, sleeves and venue."),
)
GROUPS: Final[tuple[tuple[str, str, str], ...]] = (
    ("compat", "trader_sdk.cli.compat:app", "Check checkpoints against the compatibility matrix."),
    ("archive", "trader_sdk.cli.archive:app", "Look into a training archive, promote and revert."),
    ("models", "trader_sdk.cli.operate:app", "Disable and enable models of a run."),
    ("journal", "trader_sdk.cli.journal:app", "Back up and check the journal of a run."),
    ("config", "trader_sdk.cli.config:app", "Settings: profiles and whom to notify."),
    ("features", "trader_sdk.cli.features:app", "Check a feature provider."),
    ("data", "trader_sdk.cli.data:app", "Look at bars, convert and fetch them."),
    ("exchange", "trader_sdk.cli.exchange:app", "Serve the embedded paper exchange."),
    ("faults", "trader_sdk.cli.faults:app", "Play faults against the real trader."),
)


def _load(target: str) -> Any:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def load_command(target: str) -> Callable[..., Any]:
    """Return a command with the options that all of its kind have."""
    from trader_sdk.cli.profile import with_profile

    return with_profile(_load(target))


def load_group(target: str) -> Any:
    """Return a group whose commands have the options that all of their kind have."""
    from trader_sdk.cli.profile import profiled

    return profiled(_load(target))


def _wanted(argv: Sequence[str]) -> str | None:
    return next((argument for argument in argv if not argument.startswith("-")), None)


def build_app(argv: Sequence[str]) -> Callable[..., Any]:
    """Return the typer application with the one command that ``argv`` names loaded, the others as names only."""
    import typer

    app = typer.Typer(
        name="trader",
        help="Load, check and trade models that were approved.",
        no_args_is_help=True,
        add_completion=False,
    )
    wanted = _wanted(argv)
    for name, target, text in COMMANDS:
        command = load_command(target) if name == wanted else _placeholder(text)
        app.command(name, help=None if name == wanted else text)(command)
    for name, target, text in GROUPS:
        group = load_group(target) if name == wanted else typer.Typer(help=text)
        app.add_typer(group, name=name, help=text)

    @app.callback(invoke_without_command=True)
    def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
        if version:
            from importlib.metadata import version as installed

            typer.echo(f"trader-sdk {installed('trader-sdk')}")
            raise typer.Exit

    return app


def _placeholder(text: str) -> Callable[[], None]:
    def command() -> None:
        raise AssertionError("a command is loaded when it is named")

    command.__doc__ = text
    return command


def run_app(app: Callable[..., Any], argv: Sequence[str], *, prog: str = "trader") -> int:
    """Run a typer application and return its exit code; every :class:`SdkError` becomes one line on stderr."""
    import typer

    try:
        result = app(args=list(argv), prog_name=prog, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SdkError as error:
        sys.stderr.write(f"{prog}: {error}\n")
        return error.exit_code
    except typer.TyperException as error:
        return _show_usage(error, prog)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write(f"{prog}: interrupted\n")
        return EXIT_SIGINT
    except BrokenPipeError:
        # The reader went away, as with `| head`; the rest of the output has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        refused = StorageError(
            "STORAGE", "a file cannot be read or written", where=str(error.filename or ""), found=error.strerror
        )
        sys.stderr.write(f"{prog}: {refused}\n")
        return refused.exit_code


def _show_usage(error: Any, prog: str) -> int:
    # A group named without a command carries its help page; everything else is one line.
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        sys.stderr.write(f"{prog}: {error.format_message()} (see {prog} --help)\n")
    return EXIT_USAGE


def _end_on_request() -> None:
    # Until a command handles signals itself there is nothing to wind down: being asked to end is no failure.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, lambda *_: sys.exit(0))


def _open_closed_streams() -> None:
    # Where a stream is closed (`>&-`) the next file that is opened, such as a journal, would get its number.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdin, sys.stdout, sys.stderr = (
        stream if stream is not None else os.fdopen(number, mode)
        for number, mode, stream in ((0, "r", sys.stdin), (1, "w", sys.stdout), (2, "w", sys.stderr))
    )


def _speak_any_encoding() -> None:
    # What a file says is shown as far as the terminal can; the rest is escaped, and never an error.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the ``trader`` command and exit with its code."""
    _open_closed_streams()
    _end_on_request()
    _speak_any_encoding()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if _wanted(arguments) == "run":
        keep_kill_signal()
    raise SystemExit(run_app(build_app(arguments), arguments))
