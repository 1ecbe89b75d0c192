"""The template: a process that has imported the runtime, started nothing, and forks when it is told to.

Starting a process from scratch takes the better part of a second; forking one that is warm takes milliseconds.
A fork copies the calling thread alone, so that this process must never have another: it is one blocking loop,
with neither event loop nor authors' code.

It obeys the supervisor on a SOCK_SEQPACKET socketpair, one message a packet:
    down  `spawn` with the descriptors (channel, heartbeat, listening sockets ...)
    up    `warm` once; `spawned PID` with a pidfd; `exited PID STATUS`, where STATUS is as os.waitstatus_to_exitcode
The end of that channel means that the supervisor has gone. The processes see the end of their own channels and
drain; the template waits for them, ends what does not end by itself, and goes.
"""

import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from atoll.serve.process import OpenGateway

FDS_MAX: Final = 16
PACKET_BYTES_MAX: Final = 256
ORPHANS_S_MAX: Final = 4.0
"""How long processes have to leave by themselves once the supervisor has gone."""

EXIT_CRASHED: Final = 70
GROUP_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class Template:
    """The blocking loop: obey, fork, reap, report."""

    def __init__(self, control: socket.socket, open_gateway: "OpenGateway") -> None:
        self._control = control
        self._open_gateway = open_gateway
        self._pids: dict[int, int] = {}
        self._poll = select.poll()

    def run(self) -> None:
        """Serve the supervisor until it goes; return when no process is left."""
        self._poll.register(self._control, select.POLLIN)
        self._report(b"warm")
        while True:
            ready = [fd for fd, _ in self._poll.poll()]
            # Exits first: a report of a death thus always stands before the answer that replaces it.
            for fd in ready:
                if fd in self._pids:
                    self._reap(fd)
            if self._control.fileno() in ready and not self._obey():
                self._bury()
                return

    def _obey(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._control, PACKET_BYTES_MAX, FDS_MAX)
        if not message:
            return False
        for fd in fds:
            # Unlike all other descriptors that Python opens, received ones would live on in what authors' code runs.
            os.set_inheritable(fd, False)
        pid = os.fork()
        if pid == 0:
            self._become_process(fds)
        pidfd = os.pidfd_open(pid)
        for fd in fds:
            os.close(fd)
        self._pids[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        self._report(b"spawned %d" % pid, pidfd)
        return True

    def _become_process(self, fds: list[int]) -> NoReturn:
        # What belongs to the template must not live on in the process: an open control channel would hide the
        # supervisor's death. `os._exit` because the exit handlers and buffers are the template's, not ours.
        status = EXIT_CRASHED
        try:
            self._control.close()
            for pidfd in self._pids:
                os.close(pidfd)
            from atoll.serve import process

            status = process.run(fds, self._open_gateway)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.__stdout__, sys.__stderr__):
                try:
                    stream.flush()  # type: ignore[union-attr]
                except Exception:
                    pass
            os._exit(status)

    def _reap(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.close(pidfd)
        pid = self._pids.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        self._report(b"exited %d %d" % (pid, os.waitstatus_to_exitcode(status)))

    def _report(self, message: bytes, *fds: int) -> None:
        try:
            socket.send_fds(self._control, [message], fds)
        except OSError:
            # The supervisor has gone; the loop is about to see the end of the channel.
            pass

    def _bury(self) -> None:
        self._poll.unregister(self._control)
        deadline_s = time.monotonic() + ORPHANS_S_MAX
        while self._pids:
            left_ms = int(1000 * (deadline_s - time.monotonic()))
            gone = self._poll.poll(max(left_ms, 0))
            if not gone:
                for pid in self._pids.values():
                    os.kill(pid, signal.SIGKILL)
                deadline_s = time.monotonic() + 1.0
            for pidfd, _ in gone:
                self._reap(pidfd)


def main(control_fd: int, open_gateway: "OpenGateway") -> None:
    """Be the template: everything is imported by now."""
    from atoll.serve import process

    # Signals of the terminal and of a service manager reach the whole group; only the supervisor answers them.
    # They were blocked before this interpreter began, so that none could end it half way.
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    process.name("atoll-template")
    # What is alive now is shared by all processes until one writes to it; the collector would.
    gc.collect()
    gc.freeze()
    Template(socket.socket(fileno=control_fd), open_gateway).run()


if __name__ == "__main__":
    import atoll.serve.process  # noqa: F401  imported here so that every fork has it
    from atoll.serve.assembly import open_gateway

    main(int(sys.argv[1]), open_gateway)
