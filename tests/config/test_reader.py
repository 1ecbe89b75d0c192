"""Which files are read, and how several make one gateway."""

from pathlib import Path

import pytest

from atoll.config import NAMES, Config, DevConfig, FetchConfig, GatewayConfig, read
from atoll.errors import ConfigError
from atoll.limits import Limits

ONE = 'name = "one"\nmain = "main.py"\n'
JSON = '{"name": "one", "main": "main.py"}'


def write(folder: Path, **texts: str) -> list[Path]:
    paths = [Path(name.replace("__", ".")) for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        (folder / path).write_text(text)
    return paths


def test_least(folder: Path) -> None:
    """A name and a main are enough; every other value has its documented default."""
    (folder / "wrangler-like.toml").write_text(ONE)
    config = read(None, cwd=folder)
    (worker,) = config.workers
    assert (worker.name, worker.main, worker.root) == ("one", folder / "main.py", folder)
    assert (worker.isolation, worker.routes, worker.vars, worker.limits) == ("request", (), {}, Limits())
    assert (worker.compatibility_date, worker.compatibility_flags) == (None, ())
    assert worker.file == folder / "wrangler-like.toml"
    assert (config.gateway, config.fetch, config.dev) == (GatewayConfig(), FetchConfig(), DevConfig())
    assert config.observability.log is None
    assert (config.files, config.warnings, config.env) == ((folder / "wrangler-like.toml",), (), None)


def test_defaults() -> None:
    """The defaults are those that the documentation states."""
    gateway = GatewayConfig()
    assert (gateway.ip, gateway.port, gateway.in_flight, gateway.url_kb, gateway.headers_kb) == (
        "127.0.0.1", 8080, 1_000, 16, 128,
    )  # fmt: skip
    assert (gateway.header_timeout_s, gateway.body_timeout_s, gateway.idle_timeout_s, gateway.write_timeout_s) == (
        15, 30, 75, 30,
    )  # fmt: skip
    assert (gateway.connections, gateway.drain_s) == (10_000, 30)
    assert gateway.processes >= 1
    assert (DevConfig().ip, DevConfig().port) == ("localhost", 8787)


def test_order_of_names(folder: Path) -> None:
    """Without a path the first of the four names that is there is read."""
    for name in reversed(NAMES):
        (folder / name).write_text(ONE if name.endswith(".toml") else JSON)
        assert read(None, cwd=folder).workers[0].file.name == name


def test_none_found(folder: Path) -> None:
    """Without any of them the error says where and what was looked for, and what the least would be."""
    with pytest.raises(ConfigError) as caught:
        read(None, cwd=folder)
    text = str(caught.value)
    assert text.startswith(f"{folder}: no configuration found")
    assert all(name in text for name in NAMES)
    assert 'main = "hello.py"' in text


@pytest.mark.parametrize(
    ("name", "isolation"),
    [
        ("wrangler-like.toml", "request"),
        ("gateway.toml", "request"),
        ("wrangler.toml", "worker"),
        ("wrangler.jsonc", "worker"),
        ("wrangler.json", "worker"),
    ],
)
def test_isolation_by_file(folder: Path, name: str, isolation: str) -> None:
    """Wrangler's own files have Cloudflare's isolation unless they say otherwise."""
    (folder / name).write_text(ONE if name.endswith(".toml") else JSON)
    assert read([Path(name)], cwd=folder).workers[0].isolation == isolation


def test_several_files(folder: Path) -> None:
    """Each file adds its workers; the gateway's tables come from the first file that has them."""
    paths = write(
        folder,
        a__toml=ONE,
        b__toml='name = "two"\nmain = "src/other.py"\n[gateway]\nlisten = ":9000"\n[dev]\nport = 1',
        c__toml='[gateway]\nlisten = "0.0.0.0:9000"\n[fetch]\nidle_ms = 5',
    )
    config = read(paths, cwd=folder)
    assert [(worker.name, worker.root.name) for worker in config.workers] == [("one", folder.name), ("two", "src")]
    assert (config.gateway.ip, config.gateway.port, config.dev.port, config.fetch.idle_ms) == ("0.0.0.0", 9000, 1, 5)
    assert [file.name for file in config.files] == ["a.toml", "b.toml", "c.toml"]


@pytest.mark.parametrize("table", ["gateway]\ndrain_s", "fetch]\nidle_ms", "dev]\nport"])
def test_tables_that_differ(folder: Path, table: str) -> None:
    """Two files that say different things of the one gateway are refused, and both are named."""
    paths = write(folder, a__toml=f"{ONE}[{table} = 1", b__toml=f'name = "two"\nmain = "main.py"\n[{table} = 2')
    with pytest.raises(ConfigError) as caught:
        read(paths, cwd=folder)
    assert str(folder / "a.toml") in str(caught.value)
    assert f"{folder / 'b.toml'}: {table.partition(']')[0]}: " in str(caught.value)


def test_equal_names(folder: Path) -> None:
    """Two workers of one name are refused, and both places are named, across files and within one."""
    paths = write(folder, a__toml=ONE, b__toml='name = "one"\nmain = "src/other.py"')
    with pytest.raises(ConfigError) as caught:
        read(paths, cwd=folder)
    assert str(caught.value) == (
        f"{folder / 'b.toml'}: name: read 'one', expected a name of its own: "
        f"the worker at {folder / 'a.toml'}: name has the same"
    )
    table = f"[[worker]]\n{ONE}"
    with pytest.raises(ConfigError, match=r"worker\[1\]\.name: .* the worker at .*: worker\[0\]\.name has"):
        read(write(folder, c__toml=table * 2), cwd=folder)


@pytest.mark.parametrize("text", ["", "[gateway]\ndrain_s = 1", '"$schema" = "x"', "worker = []"])
def test_no_worker(folder: Path, text: str) -> None:
    """A configuration without a worker is refused with the least that would do."""
    (folder / "wrangler-like.toml").write_text(text)
    with pytest.raises(ConfigError, match="no worker is declared"):
        read(None, cwd=folder)


def test_comparable(folder: Path) -> None:
    """Reading twice gives equal values, and a changed value an unequal one, so that a watcher can tell."""

    def once(text: str) -> Config:
        (folder / "wrangler-like.toml").write_text(text)
        return read(None, cwd=folder)

    text = f'{ONE}[vars]\nA = "x"\n'
    assert once(text) == once(f"# a comment\n{text}")
    assert once(text) != once(text.replace("x", "y"))


def test_paths_outside(folder: Path) -> None:
    """A file named from elsewhere has its main beside itself, and every path is absolute and plain."""
    (folder / "src" / "api.toml").write_text('name = "two"\nmain = "../main.py"')
    config = read([Path("../api.toml")], cwd=folder / "src" / "deeper")
    assert config.files == (folder / "src" / "api.toml",)
    assert config.workers[0].main == folder / "main.py"


def test_link(folder: Path) -> None:
    """A main that is a symbolic link keeps the link's own folder as its import root."""
    (folder / "link.py").symlink_to(folder / "src" / "other.py")
    (folder / "wrangler-like.toml").write_text('name = "one"\nmain = "link.py"')
    assert read(None, cwd=folder).workers[0].root == folder
