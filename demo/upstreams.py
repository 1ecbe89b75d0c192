"""The upstreams of the examples: a shop's five HTTP services with real latencies, and routes to try a client on.

    python demo/upstreams.py --port 9100
    python demo/upstreams.py --port 9100 --latency reviews=300 --fail stock=0.1 -- atoll dev

With a command after `--` it serves first, then runs the command, and lives exactly as long as the command does.
"""

import argparse
import asyncio
import errno
import signal
import sys
from functools import partial

import uvloop
from aiohttp import web

from companion import accompany
from knobs import DEFAULTS, Knobs
from services import Services

KEEP_ALIVE_S = 75
STOP_S = 0.1
"""How long open connections are waited for at the end: whoever ends this wants it ended."""

EPILOG = """\
services   /catalogue/{id} /prices/{id} /stock/{id} /recommendations/{id} /reviews/{id}   (ids 1 to 12, and 42)
           each takes ?latency_ms= &fail= &size_kb= for one request
knobs      GET /knobs; PUT /knobs/reviews?fail=1 sets them for all requests to come
tools      /bytes?size=10m&chunk_kb=64&chunked=1  /bytes/sha256?size=10m  /slow-stream?lines=10&interval_ms=200
           /echo  /redirect?n=3&to=/echo&status=302  /status/{code}  /stats  /healthz

examples   python demo/upstreams.py
           python demo/upstreams.py --latency reviews=300 --fail stock=0.1
           python demo/upstreams.py --port 9100 -- atoll dev
"""


def main(arguments: list[str]) -> int:
    """Read the command line and serve; the exit status."""
    arguments, command = _split(arguments)
    options = _parser().parse_args(arguments)
    services = Services(_knobs(options))
    return uvloop.run(serve(services, options.ip, options.port, command))


async def serve(services: Services, ip: str, port: int, command: list[str]) -> int:
    """Serve until the command ends or, without one, until a signal asks for the end; the exit status."""
    runner = web.AppRunner(
        services.application(),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=KEEP_ALIVE_S,
        shutdown_timeout=STOP_S,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, ip, port).start()
        except OSError as error:
            print(f"upstreams: {_reason(error, ip, port)}", file=sys.stderr)
            return 1
        bound_ip, bound_port, *_ = runner.addresses[0]
        host = f"[{bound_ip}]" if ":" in bound_ip else bound_ip
        print(f"Upstreams ready on http://{host}:{bound_port}", flush=True)
        return await accompany(command) if command else await _until_signal()
    finally:
        await runner.cleanup()


async def _until_signal() -> int:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()
    return 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Part the options from the command that stands after `--`."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="upstreams.py",
        usage="%(prog)s [--ip IP] [--port PORT] [--latency S=MS] [--fail S=SHARE] [--size S=KB] [-- COMMAND ...]",
        description="Serve a shop's five HTTP services, deterministic and with knobs, for trying out clients.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--ip", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=_port, default=9100, help="port to listen on, 0 for a free one (default 9100)")
    latencies = ", ".join(f"{name} {knobs.latency_ms:g}" for name, knobs in DEFAULTS.items())
    for option, knob, what in (
        ("--latency", "latency_ms", f"milliseconds until a service answers (default {latencies})"),
        ("--fail", "fail", "share of a service's requests that are answered 503, 0 to 1 (default 0)"),
        ("--size", "size_kb", "pad a service's answers to this many kilobytes (default 0: as they are)"),
    ):
        parser.add_argument(
            option,
            dest="knobs",
            action="append",
            default=[],
            metavar="SERVICE=VALUE",
            type=partial(_setting, knob),
            help=what + "; `all=VALUE` sets it for every service",
        )
    return parser


def _setting(knob: str, text: str) -> tuple[str, dict[str, str]]:
    service, _, value = text.partition("=")
    if service != "all" and service not in DEFAULTS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected SERVICE=VALUE, SERVICE one of all, {', '.join(DEFAULTS)}")
    try:
        Knobs().turned({knob: value})
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return service, {knob: value}


def _knobs(options: argparse.Namespace) -> dict[str, Knobs]:
    knobs = dict(DEFAULTS)
    for service, wanted in options.knobs:
        for name in DEFAULTS if service == "all" else (service,):
            knobs[name] = knobs[name].turned(wanted)
    return knobs


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _reason(error: OSError, ip: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {ip} is in use by another program. Stop that one (`ss -ltnp 'sport = :{port}'` shows it) "
            "or choose another port with --port."
        )
    return f"cannot listen on {ip} port {port}: {error.strerror or error}. Choose another with --ip and --port."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
