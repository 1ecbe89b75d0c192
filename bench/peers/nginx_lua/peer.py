"""nginx with the Lua module of OpenResty, from Debian's packages, unpacked without being installed.

So no service starts and no root is needed; the shared libraries that came along are named in the environment.
"""

import grp
import os
import pwd
from pathlib import Path
from string import Template
from typing import Final

from bench.peers.peer import INSTALLED, PEERS, Missing, Peer, Place, installed, program, said

_THERE: Final = INSTALLED / "nginx_lua"
_BINARY: Final = "nginx_lua/usr/sbin/nginx"
_PACKAGES: Final = (
    "nginx",
    "libnginx-mod-http-ndk",
    "libnginx-mod-http-lua",
    "libluajit2-5.1-2",
    "libpcre3",
    "lua-cjson",
    "lua-resty-core",
    "lua-resty-lrucache",
)


def _install() -> None:
    program("dpkg-deb")
    _THERE.mkdir(parents=True, exist_ok=True)
    fetch = (program("apt-get"), "-o", "APT::Sandbox::User=root", "download", *_PACKAGES)
    try:
        said(*fetch, cwd=_THERE)
    except Missing:
        if os.geteuid() != 0:
            raise
        said(program("apt-get"), "update")
        said(*fetch, cwd=_THERE)
    for package in _THERE.glob("*.deb"):
        said("dpkg-deb", "-x", str(package), str(_THERE))


def _version() -> str:
    installed(_BINARY)
    module = next((package.name.split("_")[1] for package in _THERE.glob("libnginx-mod-http-lua_*.deb")), "unknown")
    # Without its libraries it says so here, before it is started.
    server = said("env", _libraries(), str(INSTALLED / _BINARY), "-v").rpartition("nginx version: ")[2]
    return f"{server}, Lua module {module.replace('%3a', ':')}"


def _command(place: Place) -> list[str]:
    template = Template((PEERS / "nginx_lua/nginx.conf.template").read_text())
    configuration = template.substitute(
        # Its worker process would otherwise be a user who may not read what is installed here.
        user=f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}",
        installed=_THERE,
        triplet=_folders()[0].name,
        files=place.files_max,
        # When fewer than a sixteenth are left, it closes connections that it could reuse.
        connections=place.files_max * 2,
        port=place.port,
        upstream=place.upstream.removeprefix("http://"),
    )
    (place.folder / "nginx.conf").write_text(configuration)
    return ["env", _libraries(), installed(_BINARY), "-e", "stderr", "-p", f"{place.folder}/", "-c", "nginx.conf"]


def _libraries() -> str:
    return f"LD_LIBRARY_PATH={':'.join(map(str, _folders()))}"


def _folders() -> list[Path]:
    """Where the shared libraries lie; the folders are named after the architecture."""
    found = sorted((_THERE / "usr/lib").glob("*-linux-gnu*")) + sorted((_THERE / "lib").glob("*-linux-gnu*"))
    if not found:
        raise Missing("its packages brought no shared libraries for this machine")
    return found


PEER: Final = Peer("nginx + Lua", _version, _command, goal=1.0, install=_install)
