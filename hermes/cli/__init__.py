"""The commands of `python -m hermes`: one module each, with `configure(parser)` and `run(args) -> int`.

Only the module of the command that is called is imported, so that help comes at once and nothing loads torch in vain.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import hermes
from hermes.errors import HermesError


class Command(NamedTuple):
    """Where a command lives, and what it does in one line."""

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
    "lab": Command("hermes.cli.lab", "compare policies on the same streams, with statistics", runs_policies=True),
    "train-pocket": Command("hermes.cli.train_pocket", "train the pocket model from nothing"),
    "clips": Command("hermes.cli.clips", "make the clips that ship with the demo"),
    "models": Command("hermes.cli.models", "list models of the families served, and the memory that each needs"),
    "space": Command("hermes.cli.space", "build the folder to push to a Hugging Face Space"),
}

USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for bad usage or input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser(called=next((a for a in arguments if not a.startswith("-")), None)).parse_args(arguments)
    try:
        _load_plugins(getattr(args, "plugin", ()))
        code = int(args.run(args))
        sys.stdout.flush()  # here, where a closed pipe can be caught
        return code
    except HermesError as error:
        print(f"hermes: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("hermes: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _load_plugins(plugins: Sequence[str]) -> None:
    """Import what `--plugin` names; torch is imported only where there are plugins."""
    if not plugins:
        return
    from hermes.policies import load_plugin  # noqa: PLC0415

    for plugin in plugins:
        load_plugin(plugin)


def _parser(called: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hermes",
        description="Stream a video through a video LLM whose KV cache is hierarchical memory, and ask about it.",
    )
    parser.add_argument("--version", action="version", version=f"HERMES Live {hermes.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        child = commands.add_parser(name, help=command.summary)
        if name == called:
            module = importlib.import_module(command.module)
            child.description = module.__doc__
            child.formatter_class = argparse.RawDescriptionHelpFormatter
            module.configure(child)
            if command.runs_policies:
                child.add_argument(
                    "--plugin",
                    action="append",
                    default=[],
                    metavar="FILE",
                    help="a Python file or module that registers a policy of your own; may be given several times",
                )
            child.set_defaults(run=module.run)
    return parser
