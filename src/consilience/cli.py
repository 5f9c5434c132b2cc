"""The command line: one error handler and exit status; commands are imported only when they are called."""

from __future__ import annotations

import difflib
import io
import sys
from importlib import import_module

import click

from consilience.commands.common import error
from consilience.core.errors import ConsilError, clean

# command -> the file of `commands` that holds it
HOMES = {
    "check": "models",
    "refine": "models",
    "relaxation": "relaxation",
    "coarsen": "beads",
    "train": "potentials",
    "learn": "beads",
    "evaluate": "potentials",
    "predict": "potentials",
    "simulate": "dynamics",
    "optimize": "dynamics",
    "spectrum": "dynamics",
    "export": "dynamics",
    "fit": "guided",
    "tour": "guided",
}


class _Group(click.Group):
    """The commands, each loaded when it is asked for; suggests the nearest one for a mistyped name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in HOMES:
            return None
        return getattr(import_module(f"consilience.commands.{HOMES[cmd_name]}"), cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and self.get_command(ctx, name) is None and not name.startswith("-"):
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Commands: {', '.join(self.list_commands(ctx))}."
            raise click.UsageError(f"No such command '{clean(name)}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _dashes(token: str) -> str:
    """Option names as other programs spell them: --d_min is --d-min."""
    return token.replace("_", "-")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _dashes})
@click.version_option(package_name="consilience", prog_name="consil")
def cli() -> None:
    """Fit one molecular model to every experiment that speaks about it."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status; no exception leaves it, tracebacks only with --debug."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 must not stop a run at an Å
    debug = "--debug" in argv
    try:
        status = cli.main(args=argv, prog_name="consil", standalone_mode=False, obj=tuple(argv))
        return status if isinstance(status, int) else 0
    except click.exceptions.Abort:
        error("interrupted")
        return 130
    except KeyboardInterrupt:
        error("interrupted")
        return 130
    except click.ClickException as err:
        hint = ""
        if isinstance(err, click.UsageError) and err.ctx is not None:
            hint = f"\n  to do: see '{err.ctx.command_path} --help'"
        error(clean(err.format_message()) + hint)
        return 2
    except BrokenPipeError:
        sys.stderr = None  # type: ignore[assignment]
        return 1
    except ConsilError as err:
        if debug:
            _traceback()
        error(str(err))
        return err.exit_status
    except Exception as err:
        if debug:
            _traceback()
        error(f"{type(err).__name__}: {clean(err)}\n  to do: run again with --debug and report this")
        return 1


def _traceback() -> None:
    import traceback

    traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
