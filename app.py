"""Start the page.

Every flag has an environment variable (HERMES_MODEL for --model …), for environments without a command line like Spaces.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("gradio") is None:
    sys.exit("hermes: error: The page needs gradio, which is not installed: pip install -r requirements.txt")

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Leave one core to the server and the browser: model threads that wait for a busy core slow inference down many times.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))

from ui import zerogpu
from ui.process import interrupt_imports, prepare_process

if __name__ == "__main__":
    interrupt_imports()
zerogpu.prepare()  # before any import of torch

from hermes.errors import HermesError  # noqa: E402
from hermes.policies.listing import PolicyListing  # noqa: E402
from hermes.serving.interface import StreamEngine  # noqa: E402
from ui.address import Address, find_address  # noqa: E402
from ui.engines import running_engine  # noqa: E402
from ui.flags import agree_to_download, check, parse, read_options  # noqa: E402
from ui.options import Options  # noqa: E402
from ui.visitors.files import server_folder  # noqa: E402

logger = logging.getLogger("hermes.app")


def main(arguments: list[str] | None = None) -> int:
    """Build the page and serve it until interrupted.

    Returns:
        The exit code: 0, or 2 if the page cannot start with these flags (with a one-line message on standard error).
    """
    flags = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "mcp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        logger.info("Loading the page. This takes up to a minute on a slow machine.")
        check(flags)
        agree_to_download(flags.model, yes=flags.yes)
        address = find_address(flags.host, flags.port, explicit=flags.port_given)
        options = read_options(flags)
        from gradio.utils import get_upload_folder  # noqa: PLC0415 - takes seconds, so that flags are checked before

        # The engine first: Ray cannot use the folder's long path for its sockets.
        with running_engine(flags, options) as engine, server_folder(Path(get_upload_folder())):
            return _serve(engine, options, address, share=flags.share)
    except (HermesError, OSError) as error:  # OSError: the folder of uploads cannot be used
        sys.stderr.write(f"hermes: error: {error}\n")
        return 2
    except KeyboardInterrupt:  # stopped while it was starting; later, Gradio handles it
        return 0


def _serve(engine: StreamEngine, options: Options, address: Address, *, share: bool) -> int:
    """Serve the page until interrupted, and return the exit code."""
    from ui.page.page import build  # noqa: PLC0415 - imports Gradio

    try:
        page = build(engine, PolicyListing(), options)
        logger.info("Open %s", address)
        if options.mcp:
            logger.info("Tools for language models (MCP): %s/mcp", address)
        page.launch(options.quota, server_name=address.url_host, server_port=address.port, share=share)
    except OSError as error:  # another program took the port after the check
        sys.stderr.write(f"hermes: error: The page cannot be served at {address}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
