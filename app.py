"""Start the page: flags and environment in, a running server out.

Every flag has an environment variable of the same meaning (HERMES_MODEL for --model …), for places without a command
line such as Spaces.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# One core stays free for the server and the browser: threads of a model that wait for a busy core slow it down manyfold.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))

from ui import zerogpu

zerogpu.prepare()  # before anything that follows loads torch

from hermes import POLICIES  # noqa: E402
from hermes.engine import Engine, StreamSettings  # noqa: E402
from ui.page import Options, build, launch_options  # noqa: E402
from ui.sessions import Quota  # noqa: E402

logger = logging.getLogger("hermes.app")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read flags; what is not given comes from the environment, then from the defaults."""
    env = os.environ.get
    start = StreamSettings()
    here = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"  # noqa: S104 - a Space is reached from outside
    host = env("HERMES_HOST") or env("GRADIO_SERVER_NAME") or here
    port = env("HERMES_PORT") or env("GRADIO_SERVER_PORT") or "7860"
    clips = Path(__file__).parent / "assets" / "clips"
    parser = argparse.ArgumentParser(
        description="Stream a video, chat with it, and see what the model remembers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default=host, help="address to listen on")
    parser.add_argument("--port", type=int, default=port, help="port")
    parser.add_argument("--model", default=env("HERMES_MODEL", start.model), help="pocket, a folder, or a hub id")
    parser.add_argument("--policy", default=env("HERMES_POLICY", start.policy), help=", ".join(POLICIES))
    parser.add_argument(
        "--budget", type=int, default=env("HERMES_BUDGET", str(start.budget)), help="tokens a layer may hold"
    )
    parser.add_argument("--streams", type=int, default=env("HERMES_STREAMS", "16"), help="most streams at once")
    parser.add_argument(
        "--clips", type=Path, default=env("HERMES_CLIPS", str(clips)), help="folder of the bundled clips"
    )
    parser.add_argument(
        "--clip-mode",
        action="store_true",
        default=zerogpu.is_zero_gpu() or env("HERMES_CLIP_MODE", "") in ("1", "true"),
        help="run a clip and its questions in one call, as on ZeroGPU, where it is always on",
    )
    parser.add_argument("--share", action="store_true", help="a public address through Gradio's tunnel")
    flags = parser.parse_args(arguments)
    if flags.policy not in POLICIES:
        parser.error(f"there is no policy “{flags.policy}”; there are {', '.join(POLICIES)}")
    return flags


def main(arguments: list[str] | None = None) -> int:
    """Build the page and serve it until interrupted."""
    flags = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    quota = Quota()
    models = tuple(dict.fromkeys((flags.model,) if flags.clip_mode else (flags.model, "pocket")))
    settings = StreamSettings(model=flags.model, policy=flags.policy, budget=flags.budget)
    any_model = "SPACE_ID" not in os.environ and not flags.clip_mode
    options = Options(settings, models, any_model, flags.clips, quota, clip_mode=flags.clip_mode)
    engine = Engine(max_streams=flags.streams)
    page = build(engine, POLICIES, options)
    logger.info("Open http://%s:%d", flags.host, flags.port)
    try:
        page.launch(server_name=flags.host, server_port=flags.port, share=flags.share, **launch_options(quota))
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
