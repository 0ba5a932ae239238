"""`emo-listen serve`: labels over a network, by WebSocket and HTTP."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from emo_listen.commands.options import add_model_option, add_window_options, in_range
from emo_listen.cores import usable_cores
from emo_listen.errors import ServerError
from emo_listen.extras import import_extra

TOKEN_VARIABLE = "EMO_LISTEN_TOKEN"
"""Environment variable of the token, which other users of the machine cannot see."""

MAX_STREAMS = 10_000
"""Largest value of `--max-streams`."""

MAX_WORKERS = 256
"""Largest value of `--workers`."""

EPILOG = """\
examples:
  emo-listen serve                                  for programs of this machine
  emo-listen serve --allow-origin https://example.org
  EMO_LISTEN_TOKEN=... emo-listen serve --host 0.0.0.0 \\
      --tls-cert cert.pem --tls-key key.pem         for other machines

The protocol is in docs/serve.md, and at /openapi.json and /asyncapi.json of a
running server. Ctrl-C stops: open segments are finished first. No sound is
stored.
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen serve",
        description="Label audio that programs send, by WebSocket (/v1/stream) or HTTP "
        "(/v1/analyse).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to serve on; all but this machine's own need a token (default: %(default)s)",
    )
    network.add_argument(
        "--port",
        type=in_range(int, 0, 65535),
        default=8765,
        metavar="PORT",
        help="port; 0 chooses a free one (default: %(default)s)",
    )
    network.add_argument(
        "--token",
        metavar="TOKEN",
        help="what clients must send, 16 characters or more; better set as the environment "
        f"variable {TOKEN_VARIABLE}, since others can see command lines",
    )
    network.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    network.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, PEM")
    network.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin of web pages that may connect besides local ones, such as "
        "https://example.org, tauri://localhost or null; can be repeated",
    )
    model = parser.add_argument_group("model")
    add_model_option(model)
    add_window_options(model)
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-streams",
        type=in_range(int, 1, MAX_STREAMS),
        metavar="N",
        help="simultaneous streams (default: as many of continuous speech as this machine keeps "
        "up with, measured for a second at the start)",
    )
    limits.add_argument(
        "--workers",
        type=in_range(int, 1, MAX_WORKERS),
        metavar="N",
        help="processes that run the model, and simultaneous analyses (default: one for each core)",
    )
    limits.add_argument(
        "--idle-seconds",
        type=in_range(float, 0.1, 86400),
        default=30.0,
        metavar="S",
        help="longest time without audio in a stream (default: %(default)g)",
    )
    limits.add_argument(
        "--max-seconds",
        type=in_range(float, 0.1, 31 * 86400),
        default=14400.0,
        metavar="S",
        help="longest stream or recording (default: %(default)g)",
    )
    limits.add_argument(
        "--max-upload",
        type=in_range(int, 1, 4096),
        default=64,
        metavar="MIB",
        help="largest recording in a request, in MiB (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    if (args.tls_cert is None) != (args.tls_key is None):
        parser.error("--tls-cert and --tls-key need each other")
    return args


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; return the exit code.

    Raises:
        MissingExtraError: The extra `serve` is not installed.
        ServerError: The address, the token or the certificate cannot be used.
    """
    for module in ("starlette", "uvicorn", "websockets"):
        import_extra("serve", module)
    from emo_listen.engine import ListenOptions
    from emo_listen.server.app import create_app
    from emo_listen.server.limits import SPEECH_SHARE, Limits
    from emo_listen.server.run import check_certificate, is_loopback, open_socket, run_server
    from emo_listen.server.service import Service
    from emo_listen.server.workers import Workers

    token = _token(args)
    tls = None if args.tls_cert is None else (args.tls_cert, args.tls_key)
    if tls is not None:
        check_certificate(*tls)
    with open_socket(args.host, args.port) as bound:
        local = is_loopback(bound)
        if not local and token is None:
            raise ServerError(
                f"other machines can reach {args.host}: set a token of 16 characters or more as "
                f"{TOKEN_VARIABLE} or --token, or leave out --host"
            )
        options = ListenOptions(args.window, args.hop)
        with contextlib.closing(
            Workers(args.workers or usable_cores(), args.model, options)
        ) as workers:
            streams = args.max_streams or max(1, int(SPEECH_SHARE * workers.measure()))
            limits = Limits(
                max_streams=streams,
                max_analyses=workers.count,
                idle_seconds=args.idle_seconds,
                max_seconds=args.max_seconds,
                max_upload=args.max_upload << 20,
            )
            service = Service(workers, limits)
            address = _address(bound.getsockname(), tls is not None)

            def on_ready() -> None:
                _say(f"serving up to {streams} streams at {address}. Ctrl-C stops")
                _say(
                    "clients need the token" if token else "programs of this machine need no token"
                )
                if not local and tls is None:
                    _say("sound and token travel unencrypted: add --tls-cert and --tls-key")

            app = create_app(service, token=token, origins=args.allow_origin)
            run_server(app, service, bound, on_ready, tls=tls)
    return 0


def _token(args: argparse.Namespace) -> str | None:
    from emo_listen.server.guard import TOKEN

    token: str | None = args.token if args.token is not None else os.environ.get(TOKEN_VARIABLE)
    if token is not None and not TOKEN.fullmatch(token):
        raise ServerError(
            "the token must have 16 to 256 letters, digits or . _ ~ -: make one with "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def _address(name: tuple[str, int], tls: bool) -> str:
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http{'s' if tls else ''}://{host}:{name[1]}"


def _say(text: str) -> None:
    print(f"emo-listen: {text}", file=sys.stderr, flush=True)
