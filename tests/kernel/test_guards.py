"""What acts on the whole process is refused to a handler, and a healthy request beside it is not harmed."""

import asyncio
import gc
import os
import signal
from pathlib import Path

import pytest

from support.gateway import opened

ENTRY = """
import asyncio, ctypes, gc, os, resource, signal, socket, sys, threading, time
from workers import Response

async def callback(act):
    done = asyncio.get_running_loop().create_future()
    def run():
        try:
            done.set_result(act())
        except Exception as error:
            done.set_exception(error)
    asyncio.get_running_loop().call_soon(run)
    return await done

def threaded(act):
    said = []
    def run():
        try:
            act()
        except Exception as error:
            said.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if said:
        raise said[0]

async def on_fetch(request, env, ctx):
    if request.url.endswith("/healthy"):
        await asyncio.sleep(0.05)
        return Response("healthy")
    loop = asyncio.get_running_loop()
    {act}
    return Response("went on")
"""

REFUSED = [
    "os._exit(3)",
    "os.abort()",
    "os.execv('/bin/true', ['true'])",
    "os.fork()",
    "os.kill(os.getpid(), signal.SIGKILL)",
    "os.kill(os.getppid(), signal.SIGTERM)",
    "os.kill(0, signal.SIGTERM)",
    "os.killpg(0, signal.SIGTERM)",
    "signal.raise_signal(signal.SIGTERM)",
    "signal.pthread_kill(threading.get_ident(), signal.SIGTERM)",
    "signal.signal(signal.SIGPROF, signal.SIG_IGN)",
    "signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    "signal.setitimer(signal.ITIMER_PROF, 0)",
    "signal.alarm(1)",
    "signal.set_wakeup_fd(-1)",
    "signal.siginterrupt(signal.SIGTERM, True)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
    "os.chdir('/')",
    "os.fchdir(0)",
    "os.umask(0)",
    "os.closerange(0, 100)",
    "os.close(2)",
    "os.dup2(2, 1)",
    "os.close(next(n for n in range(200, 2, -1) if os.path.exists(f'/proc/self/fd/{n}') "
    "and os.readlink(f'/proc/self/fd/{n}').startswith('socket')))",
    "gc.freeze()",
    "gc.unfreeze()",
    "gc.set_threshold(1)",
    "gc.set_debug(0)",
    "sys.settrace(lambda *_: None)",
    "sys.setprofile(lambda *_: None)",
    "threading.settrace(lambda *_: None)",
    "sys.setrecursionlimit(10**6)",
    "sys.setswitchinterval(10)",
    "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
    "asyncio.set_event_loop_policy(None)",
    "loop.stop()",
    "loop.close()",
    "loop.set_task_factory(None)",
    "loop.set_exception_handler(print)",
    "loop.add_signal_handler(signal.SIGTERM, print)",
    "loop.remove_signal_handler(signal.SIGTERM)",
    "await loop.shutdown_default_executor()",
    # Wherever it is called from.
    "await asyncio.create_task(asyncio.sleep(0)); await asyncio.gather(callback(lambda: os._exit(3)))",
    "await callback(loop.stop)",
    "await asyncio.to_thread(os._exit, 3)",
    "threaded(lambda: os._exit(3))",
    "threaded(lambda: os.kill(os.getpid(), 9))",
    "threaded(lambda: os.closerange(0, 100))",
]


@pytest.mark.parametrize("act", REFUSED)
async def test_what_acts_on_the_process_is_refused(tmp_path: Path, act: str) -> None:
    """It fails its own invocation with 1101, whose log names the function; the one beside it is answered."""
    async with opened(tmp_path, {"entry.py": ENTRY.replace("{act}", act)}) as running:
        beside = asyncio.create_task(running.text("/healthy"))
        while not running.gateway.in_flight:
            await asyncio.sleep(0.001)
        async with running.client.get(running.url) as response:
            assert response.status == 500
            assert "1101" in await response.text()
        ((_, error),) = running.seen.failures
        assert "is not for handlers" in str(error)
        assert await beside == "healthy"
        assert await running.text("/healthy") == "healthy"


MENDED = [
    "gc.enable()",
    "gc.disable()",
    "getattr(gc.enable, '__wrapped__')()",
    "loop.set_task_factory.__wrapped__(None)",
]


@pytest.mark.parametrize("act", MENDED)
async def test_what_is_changed_past_a_guard_is_put_right(tmp_path: Path, act: str) -> None:
    """The collector and the task factory are after an invocation what they were before it."""
    async with opened(tmp_path, {"entry.py": ENTRY.replace("{act}", act)}) as running:
        loop = asyncio.get_running_loop()
        factory = loop.get_task_factory()
        beside = asyncio.create_task(running.text("/healthy"))
        assert await running.text() == "went on"
        await running.seen.until(lambda seen: seen.ended_facts)
        assert not gc.isenabled()
        assert loop.get_task_factory() is factory
        assert await beside == "healthy"


ALLOWED = [
    "r, w = os.pipe(); os.close(r); os.close(w)",
    "fd = os.open('/dev/null', os.O_RDONLY); os.dup2(fd, os.dup(fd)); os.close(fd)",
    "import subprocess; p = subprocess.Popen(['sleep', '60']); os.kill(p.pid, 9); p.wait()",
    "import subprocess; subprocess.run(['true'], check=True)",
    "import tempfile; tempfile.TemporaryFile().close()",
    "await asyncio.to_thread(asyncio.run, asyncio.sleep(0))",
    "await (await asyncio.create_subprocess_exec('true')).wait()",
    "a, b = socket.socketpair(); a.close(); b.close()",
    "signal.getsignal(signal.SIGTERM), gc.collect(), sys.getrecursionlimit(), loop.get_task_factory()",
]


@pytest.mark.parametrize("act", ALLOWED)
async def test_what_is_the_handlers_own_is_not_refused(tmp_path: Path, act: str) -> None:
    """Its own descriptors, processes, threads and their loops are its own."""
    toml = "[limits]\ncpu_ms = 5000"
    async with opened(tmp_path, {"entry.py": ENTRY.replace("{act}", act)}, toml) as running:
        assert await running.text() == "went on"


async def test_a_closed_gateway_leaves_no_guard(tmp_path: Path) -> None:
    """Every function is its own again, and the loop's methods are those of its class."""
    before = (os._exit, os.kill, os.close, signal.signal, gc.enable)
    async with opened(tmp_path, {"entry.py": ENTRY.replace("{act}", "pass")}):
        assert os._exit is not before[0]
        os.close(os.dup(0))
    assert (os._exit, os.kill, os.close, signal.signal, gc.enable) == before
    assert "stop" not in vars(asyncio.get_running_loop())
