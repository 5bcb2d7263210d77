"""``--profile`` on every command that takes ``--state-dir``: added here, once, where a command is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Final

import typer

PROFILE_HELP: Final = "Keys and state folder of a profile of trader.toml."
Profile = Annotated[str | None, typer.Option("--profile", envvar="TRADER_PROFILE", help=PROFILE_HELP)]


def with_profile(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``command`` with ``--profile``, which names the state folder where ``--state-dir`` does not.

    A command without a state folder, or with an option of that name of its own, is returned as it is.
    """
    signature = inspect.signature(command, eval_str=True)
    if "state_dir" not in signature.parameters or "profile" in signature.parameters:
        return command

    @wraps(command)
    def entered(*, profile: str | None = None, **given: Any) -> Any:
        if profile is not None:
            from trader_sdk.cli.run_settings import settings_of

            home, _ = settings_of(profile)
            given["state_dir"] = given.get("state_dir") or home
        return command(**given)

    asked = inspect.Parameter("profile", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Profile)
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]
    entered.__signature__ = signature.replace(parameters=[*parameters, asked])  # type: ignore[attr-defined]  # what typer reads
    entered.__annotations__ = {one.name: one.annotation for one in (*parameters, asked)}
    return entered


def profiled(app: typer.Typer) -> typer.Typer:
    """Give ``--profile`` to the commands of a group that take ``--state-dir``, and return the group."""
    for info in app.registered_commands:
        if info.callback is not None:
            info.callback = with_profile(info.callback)
    return app
