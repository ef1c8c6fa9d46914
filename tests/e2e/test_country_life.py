"""The country's processes live and end together, and what stops it is told with what to do."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import grpc.aio
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from onecard_protocol.explained import ExitCode
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.scenarios.medical import run as run_medical
from tests.support.country import PROGRAM, country_up, environment, onecard, processes_of
from tests.support.eventually import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


def test_sigterm_ends_every_process_and_is_success(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    with country_up(directory, "--provinces", "cn-44,cn-51", "--gateways", "2") as (running, process):
        assert {"gateway-1", "gateway-2", "adapter-cn-44", "stub-sichuan"} <= running.places.keys()
        started = processes_of(directory)
        assert len(started) >= 7
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == ExitCode.DONE
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []


def test_kill_9_of_the_owner_ends_every_process(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    with country_up(directory, "--provinces", "cn-44,cn-51") as (_, process):
        started = processes_of(directory)
        process.kill()
        process.wait(10)
        _, alive = psutil.wait_procs([one for one in started if one.pid != process.pid], timeout=60)
        assert alive == []
    assert processes_of(directory) == []


@pytest.mark.parametrize(
    ("name", "says", "log"),
    [
        ("gateway-1", "The process gateway-1 was ended by signal 9 (Killed).", "gateway-1.log"),
        ("postgres", "The process postgres ended.", "postgres/log"),
    ],
)
def test_a_process_that_ends_by_itself_is_told_and_ends_the_others(
    name: str, says: str, log: str, tmp_path: Path
) -> None:
    directory = tmp_path / "country"
    with country_up(directory, "--provinces", "cn-44,cn-51") as (_, process):
        printed = directory.with_suffix(".printed")
        process_id = re.search(rf"^ {name} +(\d+) ", read_when_shown(printed), re.MULTILINE)
        assert process_id
        os.kill(int(process_id[1]), signal.SIGKILL)
        assert process.wait(60) == ExitCode.UNREACHABLE
    ending = printed.read_text(encoding="utf-8").partition("Ctrl-C ends all of it.")[2]
    assert says in ending
    assert f"Its whole log: {directory / log}" in ending
    assert "pg_ctl" not in ending
    assert processes_of(directory) == []


def test_a_process_that_ends_during_a_drill_ends_the_drill_and_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    with country_up(directory, "--provinces", "cn-44,cn-51", "--scenario", "medical") as (_, process):
        kill_worker(directory)
        assert process.wait(120) == ExitCode.UNREACHABLE
    assert KILLED in directory.with_suffix(".printed").read_text(encoding="utf-8")
    assert processes_of(directory) == []


def test_a_process_that_ends_during_a_drill_of_another_program_is_told_there(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    with country_up(directory, "--provinces", "cn-44,cn-51") as (_, process):
        read_when_shown(directory.with_suffix(".printed"))
        arguments = [*PROGRAM, "scenario", "run", "medical", "--directory", str(directory)]
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment()) as drill:
            kill_worker(directory)
            _, errors = drill.communicate(timeout=120)
        assert process.wait(60) == drill.returncode == ExitCode.UNREACHABLE
    assert KILLED in errors
    # It is told as well to who begins one now.
    assert KILLED in onecard(*arguments[len(PROGRAM) :]).errors


KILLED = "The process worker-1 was ended by signal 9 (Killed)."


def kill_worker(directory: Path) -> None:
    (worker,) = [one for one in processes_of(directory) if one.cmdline()[3:5] == ["hub", "worker"]]
    worker.kill()


def read_when_shown(printed: Path) -> str:
    """What `dev up` printed, once it has shown the country."""
    asyncio.run(eventually(lambda: "Ctrl-C ends all of it." in printed.read_text(encoding="utf-8")))
    return printed.read_text(encoding="utf-8")


async def test_what_was_killed_comes_back_and_goes_on(tmp_path: Path) -> None:
    async with Country(CountryPlan(), tmp_path / "country") as country:
        assert await gateway_health(country) == "SERVING"
        before = country.process_ids
        assert {"postgres", "gateway-1", "worker-1", "adapter-cn-44", "adapter-cn-51"} <= before.keys()
        for name in ("worker-1", "gateway-1", "adapter-cn-51", "postgres"):
            await country.kill(name)
            assert name not in country.process_ids
        for name in ("postgres", "worker-1", "gateway-1", "adapter-cn-51"):
            await country.restart(name)
        assert await gateway_health(country) == "SERVING"
        after = country.process_ids
        assert before.keys() == after.keys()
        assert before["worker-1"] != after["worker-1"]
        result = await run_medical(country.running(), lambda _: None)
        assert result.is_good, result.figures()


async def gateway_health(country: Country) -> str:
    """What the gateway says of itself at this moment: a country is up when its hub admits messages."""
    keys = country.directory / "keys"
    names = ("authority.pem", "cn-44.key.pem", "cn-44.pem")
    credentials = grpc.ssl_channel_credentials(*((keys / name).read_bytes() for name in names))
    async with grpc.aio.secure_channel(country.gateway_addresses["gateway-1"], credentials) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        response = await check(health_pb2.HealthCheckRequest())
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))


def test_a_temporary_country_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = onecard("dev", "up", "--scenario", "medical", "--json", changes={"TMPDIR": str(tmp_path)})
    assert ended.code == 0, ended.errors or ended.output
    assert ended.json()["lost"] == 0
    assert [path for path in tmp_path.iterdir() if path.name.startswith("onecard-")] == []


# ---- what stops it ---------------------------------------------------------------------------------------------------


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    ended = onecard("dev", "up", "--directory", str(tmp_path))
    assert ended.code == ExitCode.NOT_SET_UP
    assert "is not empty" in ended.errors
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--provinces", "cn-44,cn-12"], "cn-12"),
        (["--brokers", "2", "--log", "kafka"], "1 broker or with 3"),
        (["--brokers", "3"], "embedded log has no brokers"),
        (["--json"], "Add --scenario NAME, or leave them out."),
        (["--demo"], "Add --scenario NAME, or leave them out."),
        (["--scenario", "nothing"], "'nothing'"),
        (["--scenario", "medical", "--provinces", "cn-44"], "cn-51"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_anything_starts(options: list[str], says: str) -> None:
    ended = onecard("dev", "up", *options)
    assert ended.code in {ExitCode.USAGE, ExitCode.NOT_SET_UP}
    assert says in ended.errors
    assert "Traceback" not in ended.errors


def test_without_java_the_package_that_brings_it_is_named(tmp_path: Path) -> None:
    changes = {"PATH": str(tmp_path), "JAVA_HOME": "", "LC_ALL": "zh_CN.UTF-8"}
    ended = onecard("dev", "up", "--log", "kafka", "--scenario", "medical", changes=changes)
    assert ended.code == ExitCode.NOT_SET_UP
    assert "default-jre-headless" in ended.errors
    assert "本机无法启动 Kafka" in ended.errors


async def test_a_taken_port_a_wrong_passphrase_and_a_missing_database_say_what_to_do(tmp_path: Path) -> None:
    async with Country(CountryPlan(provinces=()), tmp_path / "country") as country:
        config = str(country.hub_config)
        taken = country.gateway_addresses["gateway-1"]
        ended = onecard("hub", "gateway", "--config", config, "--listen", taken)
        assert ended.code == ExitCode.NOT_SET_UP
        assert taken in ended.errors
        passphrase = country.directory / "keys" / "passphrase"
        right = passphrase.read_text(encoding="ascii")
        passphrase.write_text("another passphrase\n", encoding="ascii")
        ended = onecard("hub", "worker", "--config", config)
        assert ended.code == ExitCode.NOT_SET_UP
        assert "passphrase" in ended.errors
        assert "another passphrase" not in ended.errors
        passphrase.write_text(right, encoding="ascii")
    ended = onecard("message", "list", "--config", config)
    assert ended.code == ExitCode.UNREACHABLE
    assert "does not answer" in ended.errors


def test_a_stub_whose_port_is_taken_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = onecard("stub", "run", "guangdong", "--port", str(port))
    assert ended.code == ExitCode.NOT_SET_UP
    assert str(port) in ended.errors


def test_no_country_to_drill_in_is_told(tmp_path: Path) -> None:
    ended = onecard("scenario", "run", "medical", "--directory", str(tmp_path))
    assert ended.code == ExitCode.NOT_SET_UP
    assert "onecard dev up" in ended.errors


def test_ctrl_c_while_it_starts_ends_it_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    process = subprocess.Popen(
        [*PROGRAM, "dev", "up", "--provinces", "cn-44,cn-51", "--directory", str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first, sys.executable
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == ExitCode.INTERRUPTED
    process.stderr.close()
    assert processes_of(directory) == []


async def test_ctrl_c_at_a_terminal_reaches_initdb_too_and_nobody_complains(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    process = await asyncio.create_subprocess_exec(
        *[*PROGRAM, "dev", "up", "--provinces", "cn-44,cn-51", "--directory", str(directory)],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    await eventually(lambda: any(one.name() == "initdb" for one in processes_of(directory)))
    # As a terminal does: to everybody in the foreground.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert [line for line in errors.decode().splitlines() if not line.startswith("… ")] == []
    assert processes_of(directory) == []
