"""The commands of `python -m hermes`: one module each, with `configure(parser)` and `run(args) -> int`.

Only the module of the requested command is imported, so that help is fast and torch is loaded only when needed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn

import hermes
from hermes.cli.terminal import discard_output, prepare_streams
from hermes.errors import FailedError, HermesError


class Command(NamedTuple):
    """Module and one-line description of a command."""

    module: str
    summary: str
    runs_policies: bool = False


COMMANDS: Final[dict[str, Command]] = {
    "ask": Command("hermes.cli.ask", "stream a video file through a model and ask about it", runs_policies=True),
    "record": Command(
        "hermes.cli.record", "record a run of a video: memory, pictures and answers in one file", runs_policies=True
    ),
    "bench": Command(
        "hermes.cli.bench", "measure speed and memory of the policies on this machine", runs_policies=True
    ),
    "eval": Command("hermes.cli.eval", "measure how well the pocket model answers under a policy", runs_policies=True),
    "benchmark": Command("hermes.cli.benchmark", "run a published benchmark, judge its answers, and compare runs"),
    "lab": Command("hermes.cli.lab", "compare policies on the same streams, with statistics", runs_policies=True),
    "train-pocket": Command("hermes.cli.train_pocket", "train the pocket model from scratch"),
    "train-things": Command("hermes.cli.train_things", "train the model of everyday objects"),
    "clips": Command("hermes.cli.clips", "render the bundled clips"),
    "models": Command("hermes.cli.models", "list supported models and the memory that each needs"),
    "space": Command("hermes.cli.space", "build the folder to push to a Hugging Face Space"),
}

FAILED: Final = 1
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
EXIT_CODES: Final = """\
exit codes:
  0    success
  1    the command failed while running, for example because the disk is full
  2    invalid arguments, an invalid input, or an output that cannot be written; nothing was done
  130  interrupted (Ctrl-C)
  141  the program that reads the output ended
"""


class _Parser(argparse.ArgumentParser):
    """Argument parser that reports errors in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"hermes: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code, see `EXIT_CODES`.

    Raises:
        SystemExit: The arguments cannot be parsed (code 2), or help or version was printed (code 0).
    """
    prepare_streams()
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()  # here, so that a closed pipe or a full disk is caught below
    except HermesError as error:
        return _report(str(error), FAILED if isinstance(error, FailedError) else USAGE_ERROR)
    except KeyboardInterrupt:
        print("hermes: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return PIPE_CLOSED
    except MemoryError:
        return _report("There is not enough memory.", FAILED)
    except OSError as error:
        if error.filename is None:  # standard output, for example redirected to a full disk
            discard_output()
        about = f" ({os.fsdecode(error.filename)})" if error.filename is not None else ""
        return _report(f"{error.strerror or error}{about}.", FAILED)


def _run(arguments: list[str]) -> int:
    args = _parser(called=next((a for a in arguments if not a.startswith("-")), None)).parse_args(arguments)
    _load_plugins(getattr(args, "plugin", ()))
    return int(args.run(args))


def _report(message: str, code: int) -> int:
    print(f"hermes: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _load_plugins(plugins: Sequence[str]) -> None:
    """Import the plugins named by `--plugin`; torch is imported only if there are any."""
    if not plugins:
        return
    from hermes.policies import load_plugin  # noqa: PLC0415

    for plugin in plugins:
        load_plugin(plugin)


def _parser(called: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m hermes",
        description="Stream a video through a video LLM whose KV cache is hierarchical memory, and ask about it.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"HERMES Live {hermes.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        child = commands.add_parser(name, help=command.summary)
        if name == called:
            module = importlib.import_module(command.module)
            child.description = module.__doc__
            child.epilog = EXIT_CODES
            child.formatter_class = argparse.RawDescriptionHelpFormatter
            module.configure(child)
            if command.runs_policies:
                child.add_argument(
                    "--plugin",
                    action="append",
                    default=[],
                    metavar="FILE",
                    help="a Python file or module that registers your own policy; may be given several times",
                )
            child.set_defaults(run=module.run)
    return parser
