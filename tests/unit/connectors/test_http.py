"""The connector tells what was certainly not sent from what may have been executed, and bounds everything."""

import asyncio

import aiohttp
import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors import http
from onecard_adapters.connectors.http import HttpAnswer, HttpRequest, LocalHttpClient, LocalHttpServer
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, OutcomeInDoubt


async def _echo(request: HttpRequest) -> HttpAnswer:
    return HttpAnswer(body=request.body, headers={"X-Seen": request.headers.get("x-asked", "")})


async def test_bytes_and_headers_travel_both_ways() -> None:
    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/fsi": _echo})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/fsi")
    try:
        answer = await client.post(b"\xc4\xe3", content_type="text/xml", headers={"X-Asked": "yes"})
        assert (answer.body, answer.headers["x-seen"], answer.status) == (b"\xc4\xe3", "yes", 200)
    finally:
        await client.close()
        await server.stop()


@pytest.mark.parametrize(
    ("sent", "continued"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",) * 2,
        ("440101199001011234", ""),  # No person's number travels on in its place.
        ("", ""),
    ],
)
async def test_a_trace_goes_from_the_caller_through_what_is_done_for_it_to_whom_that_calls(
    sent: str, continued: str
) -> None:
    seen: list[str | None] = []

    async def called(request: HttpRequest) -> HttpAnswer:
        seen.append(request.headers.get("traceparent"))
        return HttpAnswer(body=b"")

    async def calls_on(request: HttpRequest) -> HttpAnswer:
        return await client.post(b"", content_type="text/xml")

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/called": called, "/calls-on": calls_on})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/called")
    try:
        async with aiohttp.ClientSession() as session:
            # Twice by one connection: what the second is done for is nobody's trace.
            for headers in ({"traceparent": sent}, {}):
                async with session.post(f"http://127.0.0.1:{server.port}/calls-on", headers=headers) as answer:
                    assert answer.status == 200
    finally:
        await client.close()
        await server.stop()

    assert seen == [continued or None, None]


async def test_a_taken_port_is_a_clear_error_that_says_what_to_do() -> None:
    first = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": _echo})
    await first.start()
    try:
        second = LocalHttpServer(host="127.0.0.1", port=first.port, routes={"/": _echo})
        with pytest.raises(OneCardError, match=f"port {first.port} .* taken .* choose another port") as refused:
            await second.start()
        assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    finally:
        await first.stop()


async def test_a_system_that_does_not_listen_is_down_and_nothing_was_executed() -> None:
    probe = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": _echo})
    await probe.start()
    port = probe.port
    await probe.stop()
    client = LocalHttpClient(url=f"http://127.0.0.1:{port}/")
    try:
        with pytest.raises(OneCardError) as down:
            await client.post(b"{}", content_type="application/json")
        assert down.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
    finally:
        await client.close()


async def test_each_call_tells_of_itself_alone_whether_it_was_sent() -> None:
    async def hang_up(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(body=b"", headers={"Connection": "close"})

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": hang_up})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/")
    try:
        await client.post(b"{}", content_type="application/json")
        await server.stop()
        # In the same task as one that was sent, and beside others.
        calls = [client.post(b"{}", content_type="application/json") for _ in range(3)]
        with pytest.raises(OneCardError) as down:
            await calls.pop()
        outcomes = [down.value, *await asyncio.gather(*calls, return_exceptions=True)]
        assert [getattr(outcome, "reason", None) for outcome in outcomes] == [
            errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
        ] * 3
    finally:
        await client.close()


async def test_a_body_that_arrives_in_pieces_is_waited_for_and_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": _echo})
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nset")
        await asyncio.sleep(0.02)
        writer.write(b"tle")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(6) == b"settle"
        monkeypatch.setattr(http, "READ_MS_MAX", 20)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nset")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 408")
    finally:
        writer.close()
        await server.stop()


async def test_a_connection_lost_after_the_request_leaves_the_outcome_in_doubt() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"settle")
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    try:
        with pytest.raises(OutcomeInDoubt):
            await client.post(b"settle", content_type="application/json")
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


async def test_a_system_too_slow_to_answer_leaves_the_outcome_in_doubt() -> None:
    release = asyncio.Event()

    async def slow(request: HttpRequest) -> HttpAnswer:
        await release.wait()
        return HttpAnswer(body=b"")

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": slow})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/", answer_ms_max=50)
    try:
        with pytest.raises(OutcomeInDoubt):
            await client.post(b"{}", content_type="application/json")
    finally:
        release.set()
        await client.close()
        await server.stop()


@pytest.mark.parametrize(("status", "is_in_doubt"), [(404, False), (413, False), (500, True), (503, True), (302, True)])
async def test_a_status_tells_whether_the_request_was_taken(status: int, is_in_doubt: bool) -> None:
    async def refuse(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(body=b"no", status=status)

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": refuse})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/")
    try:
        with pytest.raises(OneCardError, match=f"HTTP {status}") as failed:
            await client.post(b"{}", content_type="application/json")
        assert isinstance(failed.value, OutcomeInDoubt) is is_in_doubt
    finally:
        await client.close()
        await server.stop()


async def test_a_dialect_may_read_answers_from_other_statuses() -> None:
    async def fault(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(body=b"<fault/>", status=500)

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": fault})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/", statuses_with_answer=frozenset({200, 500}))
    try:
        assert (await client.post(b"", content_type="text/xml")).body == b"<fault/>"
    finally:
        await client.close()
        await server.stop()


async def test_bodies_beyond_the_bound_are_refused_on_both_sides() -> None:
    async def large(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(body=b"x" * 2_000)

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": large}, body_bytes_max=1_000)
    await server.start()
    url = f"http://127.0.0.1:{server.port}/"
    client = LocalHttpClient(url=url, body_bytes_max=1_000)
    try:
        with pytest.raises(OneCardError, match="HTTP 413"):
            await client.post(b"x" * 1_001, content_type="text/plain")
        with pytest.raises(OutcomeInDoubt, match="larger than 1000 bytes"):
            await client.post(b"x" * 1_000, content_type="text/plain")
    finally:
        await client.close()
        await server.stop()


async def test_stopping_lets_a_request_in_progress_finish() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(request: HttpRequest) -> HttpAnswer:
        arrived.set()
        await release.wait()
        return HttpAnswer(body=b"done")

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": slow})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/")
    try:
        call = asyncio.create_task(client.post(b"{}", content_type="application/json"))
        await arrived.wait()
        stop = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        release.set()
        assert (await call).body == b"done"
        await stop
    finally:
        await client.close()


async def test_a_failing_handler_answers_500_and_logs_no_content(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: HttpRequest) -> HttpAnswer:
        raise ValueError(request.body.decode())

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": broken})
    await server.start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{server.port}/", data=b"510000199001019910") as response,
        ):
            assert response.status == 500
        assert "ValueError" in caplog.text
        assert "510000199001019910" not in caplog.text
    finally:
        await server.stop()


async def test_a_handler_is_told_its_time_and_cut_off_a_little_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GRACE_MS", 0)
    told: list[int] = []

    async def endless(request: HttpRequest) -> HttpAnswer:
        told.append(request.answer_ms_max)
        await asyncio.Event().wait()
        raise AssertionError

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": endless}, answer_ms_max=20)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session, session.post(f"http://127.0.0.1:{server.port}/") as response:
            assert response.status == 504
        assert told == [20]
    finally:
        await server.stop()


def test_the_servers_own_cut_comes_before_the_caller_gives_up() -> None:
    assert limits.ADAPTER_ANSWER_MS + http.GRACE_MS < limits.LOCAL_CALLER_MS


async def test_a_farewell_is_posted_before_the_client_closes_and_its_failure_does_not_matter() -> None:
    received: list[bytes] = []

    async def note(request: HttpRequest) -> HttpAnswer:
        received.append(request.body)
        return HttpAnswer(body=b"", status=400)

    server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/": note})
    await server.start()
    client = LocalHttpClient(url=f"http://127.0.0.1:{server.port}/")

    async def farewell() -> None:
        await client.post(b"goodbye", content_type="text/plain")

    client.before_close(farewell)
    try:
        await client.close()
        await client.close()
    finally:
        await server.stop()
    assert received == [b"goodbye"]
