"""Answers of real cores to uploads, sign-in and trades that we do not know: what comes out, or the named refusal."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onecard.medical.v1.encounter_pb2 import FeeLine
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.infno.core import CoreClient
from onecard_adapters.dialects.infno.settings import CoreSettings
from tests.support.infno_country import open_memory
from tests.support.infno_ends import CHONGQING, GUANGDONG, Ends, infno_ends, output_of
from tests.support.samples import sample
from tests.support.scripted_core import ScriptedCore, success


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[Ends]:
    async with infno_ends(tmp_path) as running:
        yield running


def _upload_of(request_name: str, answer_name: str, where: tuple[str, str, str, str]) -> bytes:
    """The request sample with the lines that the answer sample is about."""
    request = json.loads(sample(f"infno/{request_name}"))
    names = ("feedetl_sn", "det_item_fee_sumamt", "cnt", "pric")
    request["input"]["feedetail"] = [
        {
            **{name: str(row[name]) for name in names},
            "mdtrt_id": where[1],
            "psn_no": where[3],
            "fee_ocur_time": "2024-03-02 09:00:00",
            "med_list_codg": "XA01",
            "medins_list_codg": "YP1",
        }
        for row in output_of(answer_name)["result"]
    ]
    return json.dumps(request).encode()


def _split(line: FeeLine) -> tuple[int, ...]:
    parts = (line.full_self_pay_fen, line.over_limit_self_pay_fen, line.preceding_self_pay_fen, line.in_scope_fen)
    return (line.amount_fen, *parts)


async def _uploaded(ends: Ends, infno: str, body: bytes, answer_name: str) -> list[FeeLine]:
    """Upload with the sample as the own core's answer; the lines as the insured province gets them."""
    ends.care_core.script[infno] = sample(f"infno/{answer_name}")
    ends.insured_core.script[infno] = success({})
    answer = await ends.send_bytes(body)
    assert answer["infcode"] == 0, answer["err_msg"]
    assert answer["output"] == output_of(answer_name), "the hospital reads what its own core said"
    return list(ends.exchange.calls[-1].request.lines)  # type: ignore[attr-defined]


async def test_an_answer_to_an_upload_of_a_visit_gives_its_ratio_and_no_limit(ends: Ends) -> None:
    body = _upload_of("req-2204-gd.json", "resp-2204-hb.json", GUANGDONG)
    (line,) = await _uploaded(ends, "2204", body, "resp-2204-hb.json")
    assert (line.line_id, line.quantity_e4, line.unit_price_e6) == ("yp990", 10_000, 4_520_000)
    assert _split(line) == (452, 0, 0, 23, 429)
    assert line.self_pay_ratio_e4 == 500
    assert not line.HasField("price_limit_e6"), "999999 is no limit"
    assert (line.charge_class.code, line.charge_level.code) == ("09", "02")
    (told,) = ends.insured_core.requests[-1]["input"]["feedetail"]
    assert (told["selfpay_prop"], told["pric_uplmt_amt"], told["inscp_scp_amt"]) == (0.05, 999999, 4.29)


async def test_an_answer_to_an_upload_of_a_stay_gives_each_line_its_ratio_and_limit(ends: Ends) -> None:
    body = _upload_of("req-2301-cq-with-return-line.json", "resp-2301-cq.json", CHONGQING)
    lines = await _uploaded(ends, "2301", body, "resp-2301-cq.json")
    limits = [line.price_limit_e6 if line.HasField("price_limit_e6") else None for line in lines]
    assert [(line.line_id, line.self_pay_ratio_e4) for line in lines] == [
        ("XM9900001", 0),
        ("XM9900002", 10_000),
        ("XM9900004", 0),
    ]
    assert limits == [2_000_000, None, 3_500_000]
    assert [_split(line) for line in lines] == [(600, 0, 0, 0, 600), (150, 150, 0, 0, 0), (3_150, 0, 0, 0, 3_150)]
    told = ends.insured_core.requests[-1]["input"]["feedetail"]
    assert [(row["selfpay_prop"], row["pric_uplmt_amt"], row["chrgitm_lv"]) for row in told] == [
        (0, 2, "01"),
        (1, 999999, "03"),
        (0, 3.5, "01"),
    ]


@pytest.mark.parametrize(
    ("answer_name", "said"),
    [
        ("resp-2301-cq.json", "output.result[2].feedetl_sn"),
        ("resp-5301-hb.json", "output.result: 0 lines answered of 3 sent"),
    ],
)
async def test_an_answer_about_other_lines_or_of_another_trade_is_refused_by_name_and_taken_back(
    ends: Ends, answer_name: str, said: str
) -> None:
    ends.care_core.script["2301"] = sample(f"infno/{answer_name}")
    ends.care_core.script["2302"] = success({})
    answer = await ends.send("req-2301-cq-with-return-line.json")
    assert answer["infcode"] == -2
    assert answer["err_msg"].startswith("[LOCAL_FORM_INVALID]")
    assert said in answer["err_msg"]
    assert [request["infno"] for request in ends.care_core.requests] == ["2301", "2302"]
    assert ends.exchange.calls == []


async def test_an_answer_of_another_trade_to_a_settlement_leaves_it_in_doubt(ends: Ends) -> None:
    await ends.hold_line(CHONGQING, [2_000_046, 210_097, 130_089, 60_044, 1_599_816])
    ends.insured_core.script["2304"] = ends.insured_core.script["5203"] = sample("infno/resp-5301-hb.json")
    answer = await ends.send("req-2304-cq.json")
    assert (answer["infcode"], answer["output"]) == (-1, None)
    assert answer["err_msg"].startswith("[OUTCOME_UNKNOWN]")


async def test_a_trade_that_no_one_serves_is_refused_by_its_number(ends: Ends) -> None:
    body = json.loads(sample("infno/req-2304-cq.json"))
    answer = await ends.send_bytes(json.dumps({**body, "infno": "5301"}).encode())
    assert (answer["infcode"], "infno 5301" in answer["err_msg"]) == (-2, True)


async def test_a_sign_in_that_is_answered_in_reversed_order_gives_the_number_of_later_heads(tmp_path: Path) -> None:
    core = ScriptedCore()
    core.script = {"9001": sample("infno/resp-9001-order-reversed.json"), "9002": success({}), "2402": success({})}
    await core.start()
    client = LocalHttpClient(url=core.url)
    settings = CoreSettings.model_validate({"url": core.url, "sign_in": {"code": "S44000099901"}})
    try:
        async with open_memory(tmp_path / "core.db") as memory:
            asked: Any = await CoreClient(settings, client, memory).call(
                "2402", {}, {"msgid": "M1"}, now_ms=0, has_effect=True
            )
            assert asked.is_success
    finally:
        await client.close()
        await core.stop()
    assert [(request["infno"], request["sign_no"]) for request in core.requests] == [
        ("9001", ""),
        ("2402", "680001"),
        ("9002", "680001"),
    ]
