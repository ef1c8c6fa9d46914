"""Samples of real messages go in at the hospital's end and the insured core's, and are answered in their form."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onecard.medical.v1.values_pb2 import SettlementSplit
from onecard_adapters.dialects.infno import envelope, maps
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.signatures.sm3 import sm3
from tests.support.infno_country import CODE_TABLES
from tests.support.infno_ends import CHONGQING, GUANGDONG, Ends, infno_ends, output_of
from tests.support.samples import sample
from tests.support.scripted_core import success

_FILES = sorted(path.name for path in (Path(__file__).parents[3] / "samples/infno").iterdir())


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[Ends]:
    async with infno_ends(tmp_path) as running:
        yield running


def _has_money_of(info: dict[str, Any], expected: dict[str, Any], names: Any = maps.SPLIT) -> None:
    for rule in names.rules:
        if rule.local in expected:
            assert info[rule.local] == expected[rule.local], rule.local


@pytest.mark.parametrize("name", _FILES)
def test_every_sample_is_read_or_refused_with_its_position(name: str) -> None:
    body = sample(f"infno/{name}")
    if name.endswith(".txt"):
        # The comma that is too many, or, before Python 3.13, what comes instead of a name behind it.
        with pytest.raises(Exception, match=r"line 1 column 17[23]"):
            envelope.parse_answer(body)
    elif name.startswith("req"):
        request = envelope.parse_request(body)
        assert (request.infno, request.digest) == (name.split("-")[1], sm3(body))
        assert "null" not in request.head.values()
    else:
        answer = envelope.parse_answer(body)
        assert answer.is_success is not any(word in name for word in ("failed", "error"))


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("resp-2401-failed.json", "-1", ""),
        ("resp-1162-error-other-envelope.json", "500159", "请使用医保电子凭证二维码"),
        ("resp-gateway-error-999.json", "999", "无法访问统一支付平台"),
    ],
)
def test_failures_are_failures_in_every_envelope(name: str, code: str, text: str) -> None:
    answer = envelope.parse_answer(sample(f"infno/{name}"))
    assert (answer.is_success, answer.code, answer.text) == (False, code, text)


async def test_sign_in_and_out_have_the_form_of_the_samples(ends: Ends) -> None:
    signed_in = await ends.send("req-9001-gd.json")
    assert set(signed_in["output"]["signinoutb"]) == set(output_of("resp-9001-hb.json")["signinoutb"])
    assert (await ends.send("req-9002-gd.json"))["infcode"] == -2, "its sign_no was given by another platform"


@pytest.mark.parametrize("request_name", ["req-1101-gd.json", "req-1101-literal-null.json"])
@pytest.mark.parametrize(
    "answer_name",
    [
        "resp-1101-hb-many-enrolments.json",
        "resp-1101-sc-spaced-date.json",
        "resp-1101-sh.json",
        "resp-1161-cq-cardecinfo.json",
    ],
)
async def test_every_1101_brings_back_all_enrolments(ends: Ends, request_name: str, answer_name: str) -> None:
    ends.insured_core.script["1101"] = sample(f"infno/{answer_name}")
    answer = await ends.send(request_name)
    assert answer["infcode"] == 0, answer["err_msg"]
    expected = output_of(answer_name)
    base = answer["output"]["baseinfo"]
    for name in ("certno", "psn_no", "psn_name", "gend"):
        assert base[name] == expected["baseinfo"][name]
    assert base["brdy"] == expected["baseinfo"]["brdy"].replace(" ", "")
    told = [(row["insutype"], row["insuplc_admdvs"], row["balc"]) for row in answer["output"]["insuinfo"]]
    assert told == [(row["insutype"], row["insuplc_admdvs"], row["balc"]) for row in expected["insuinfo"]]


async def test_a_status_that_was_not_told_stays_untold(ends: Ends) -> None:
    ends.insured_core.script["1101"] = sample("infno/resp-1101-sc-spaced-date.json")
    answer = await ends.send("req-1101-gd.json")
    assert answer["output"]["insuinfo"][0]["psn_insu_stas"] is None


async def test_an_encrypted_output_is_refused_by_name(ends: Ends) -> None:
    ends.insured_core.script["1101"] = sample("infno/resp-encrypted-output-jl.json")
    answer = await ends.send("req-1101-gd.json")
    assert answer["infcode"] == -2
    assert "cipher" in answer["err_msg"]


async def test_a_registration_and_its_lines_and_bill_have_the_form_of_the_samples(ends: Ends) -> None:
    ends.insured_core.script["1101"] = sample("infno/resp-1101-sh.json")
    ends.care_core.script["2201"] = success({"data": {"mdtrt_id": "300009900725", "exp_content": None}})
    ends.insured_core.script["2201"] = sample("infno/resp-2201-hb.json")
    registered = await ends.send("req-2201-gd.json")
    assert registered["infcode"] == 0, registered["err_msg"]
    assert registered["output"]["data"]["mdtrt_id"] == "300009900725"
    sent = ends.insured_core.requests[-1]["input"]["data"]
    asked = json.loads(sample("infno/req-2201-gd.json"))["input"]["data"]
    for name in ("psn_no", "insutype", "mdtrt_cert_type", "mdtrt_cert_no", "ipt_otp_no", "dept_name"):
        assert sent[name] == asked[name]

    ends.care_core.script["2204"] = ends.insured_core.script["2204"] = _all_in_scope
    uploaded = await ends.send("req-2204-gd.json")
    assert uploaded["infcode"] == 0, uploaded["err_msg"]
    ends.insured_core.script["2206"] = sample("infno/resp-2206-hb.json")
    pre = await ends.send("req-2206-gd.json")
    assert pre["infcode"] == 0, pre["err_msg"]
    _has_money_of(pre["output"]["setlinfo"], output_of("resp-2206-hb.json")["setlinfo"])
    assert pre["output"]["setlinfo"]["setl_id"] is None
    assert pre["output"]["setlinfo"]["medins_setl_id"]

    ends.insured_core.script["2207"] = sample("infno/resp-2207-hb.json")
    settled = await ends.send("req-2207-gd.json")
    assert settled["infcode"] == 0, settled["err_msg"]
    expected = output_of("resp-2207-hb.json")
    _has_money_of(settled["output"]["setlinfo"], expected["setlinfo"])
    assert settled["output"]["setlinfo"]["setl_id"] == expected["setlinfo"]["setl_id"]
    assert settled["output"]["setlinfo"]["setl_time"] == expected["setlinfo"]["setl_time"]
    ((detail,), (told,)) = settled["output"]["setldetail"], expected["setldetail"]
    assert detail == told, "the personal account stays in the list and is no fund"


def _all_in_scope(message: dict[str, Any]) -> bytes:
    return success(
        {
            "result": [
                {
                    **{name: row[name] for name in ("feedetl_sn", "det_item_fee_sumamt", "cnt", "pric")},
                    "fulamt_ownpay_amt": 0,
                    "overlmt_amt": 0,
                    "preselfpay_amt": 0,
                    "inscp_scp_amt": row["det_item_fee_sumamt"],
                    "pric_uplmt_amt": 999999,
                    "selfpay_prop": 0,
                    "chrgitm_lv": "01",
                    "med_chrgitm_type": "09",
                }
                for row in message["input"]["feedetail"]
            ]
        }
    )


async def test_return_lines_of_the_sample_travel_negative(ends: Ends) -> None:
    ends.care_core.script["2301"] = ends.insured_core.script["2301"] = _all_in_scope
    uploaded = await ends.send("req-2301-cq-with-return-line.json")
    assert uploaded["infcode"] == 0, uploaded["err_msg"]
    lines = ends.exchange.calls[-1].request.lines  # type: ignore[attr-defined]
    assert [(line.quantity_e4, line.unit_price_e6, line.amount_fen) for line in lines] == [
        (30_000, 2_000_000, 600),
        (10_000, 1_500_000, 150),
        (-10_000, 1_500_000, -150),
    ]
    assert lines[2].returned_line_id == "XM9900002"


async def test_a_stay_of_the_samples_is_admitted_settled_and_cancelled(ends: Ends) -> None:
    ends.insured_core.script["1101"] = sample("infno/resp-1101-sh.json")
    ends.care_core.script["2401"] = success({"result": {"mdtrt_id": "310009900777"}})
    ends.insured_core.script["2401"] = success({"result": {"mdtrt_id": "310009900888"}})
    admitted = await ends.send("req-2401-cq.json")
    assert admitted["infcode"] == 0, admitted["err_msg"]
    diagnosis = ends.insured_core.requests[-1]["input"]["diseinfo"][0]
    assert (diagnosis["diag_code"], diagnosis["diag_srt_no"]) == ("I10.x05", 1)

    await ends.hold_line(CHONGQING, [2_000_046, 210_097, 130_089, 60_044, 1_599_816])
    ends.insured_core.script["2304"] = sample("infno/resp-2304-cq.json")
    settled = await ends.send("req-2304-cq.json")
    assert settled["infcode"] == 0, settled["err_msg"]
    expected = output_of("resp-2304-cq.json")
    _has_money_of(settled["output"]["setlinfo"], expected["setlinfo"])
    told = [(row["fund_pay_type"], row["fund_payamt"]) for row in settled["output"]["setldetail"]]
    assert told == [(row["fund_pay_type"], row["fund_payamt"]) for row in expected["setldetail"]]

    ends.insured_core.script["2305"] = sample("infno/resp-2305-cq-red.json")
    cancelled = await ends.send("req-2305-cq.json")
    assert cancelled["infcode"] == 0, cancelled["err_msg"]
    red = output_of("resp-2305-cq-red.json")["setlinfo"]
    info = cancelled["output"]["setlinfo"]
    assert (info["medfee_sumamt"], info["fund_pay_sumamt"]) == (red["medfee_sumamt"], red["fund_pay_sumamt"])
    assert info["psn_part_amt"] == red["psn_pay"], "the twin name tells what psn_part_amt leaves empty"
    assert info["hosp_part_amt"] is None
    assert cancelled["output"]["setldetail"][1]["fund_pay_type"] == "999997"


async def test_a_bill_of_the_sample_pre_settles_with_the_hospitals_share(ends: Ends) -> None:
    await ends.hold_line(CHONGQING, [2_000_046, 210_097, 130_089, 60_044, 1_599_816])
    ends.insured_core.script["2303"] = sample("infno/resp-2303-cq.json")
    body = sample("infno/req-2304-cq.json").replace(b'"infno":"2304"', b'"infno":"2303"')
    pre = await ends.send_bytes(body)
    assert pre["infcode"] == 0, pre["err_msg"]
    _has_money_of(pre["output"]["setlinfo"], output_of("resp-2303-cq.json")["setlinfo"])


async def test_a_red_record_of_an_outpatient_keeps_its_empty_parts(ends: Ends) -> None:
    await ends.settled(GUANGDONG, "440300G0000009900009")
    ends.insured_core.script["2208"] = sample("infno/resp-2208-hb-red.json")
    cancelled = await ends.send("req-2208-gd.json")
    assert cancelled["infcode"] == 0, cancelled["err_msg"]
    _has_money_of(cancelled["output"]["setlinfo"], output_of("resp-2208-hb-red.json")["setlinfo"])


def _queried(message: dict[str, Any], msgid: str) -> bytes:
    body = json.loads(sample("infno/resp-5203-gd.json"))
    body["output"]["setlinfo"]["medins_setl_id"] = msgid
    return json.dumps(body).encode()


async def test_a_query_and_a_reversal_of_the_samples_find_their_original(ends: Ends) -> None:
    await ends.hold_line(GUANGDONG, [200, 0, 0, 0, 200])
    ends.insured_core.script["2207"] = sample("infno/resp-2207-hb.json").replace(
        b"400009900241", b"440300G0000009900009"
    )
    assert (await ends.send("req-2207-gd.json"))["infcode"] == 0
    msgid = ends.insured_core.requests[-1]["msgid"]
    ends.insured_core.script["5203"] = lambda message: _queried(message, msgid)
    queried = await ends.send("req-5203-gd.json")
    assert queried["infcode"] == 0, queried["err_msg"]
    expected = output_of("resp-5203-gd.json")["setlinfo"]
    _has_money_of(queried["output"]["setlinfo"], expected, maps.SPLIT_AS_QUERIED)
    for name in ("setl_id", "mdtrt_id", "psn_no", "setl_time", "refd_setl_flag", "medins_setl_id", "certno", "brdy"):
        assert queried["output"]["setlinfo"][name] == expected[name], name

    ends.insured_core.script["2601"] = success({})
    reversed_ = await ends.send("req-2601-gd.json")
    assert reversed_["infcode"] == 0, reversed_["err_msg"]
    sent = ends.insured_core.requests[-1]["input"]["data"]
    assert sent == {"psn_no": "4403009900000001", "omsgid": msgid, "oinfno": "2207"}


async def test_a_referral_of_the_sample_is_filed(ends: Ends) -> None:
    ends.insured_core.script["2501"] = success({"result": {"trt_dcla_detl_sn": "B500102990001"}})
    filed = await ends.send("req-2501-cq.json")
    assert filed["infcode"] == 0, filed["err_msg"]
    sent = ends.insured_core.requests[-1]["input"]["refmedin"]
    asked = json.loads(sample("infno/req-2501-cq.json"))["input"]["refmedin"]
    for name in ("psn_no", "insutype", "diag_code", "reflin_medins_no", "mdtrtarea_admdvs", "refl_type", "begndate"):
        assert sent[name] == asked[name]


async def test_a_discharge_with_an_empty_output_is_done(ends: Ends) -> None:
    ends.care_core.script["2402"] = ends.insured_core.script["2402"] = sample("infno/resp-2402-empty-output.json")
    body = json.loads(sample("infno/req-2305-cq.json"))
    information = {"mdtrt_id": CHONGQING[1], "psn_no": CHONGQING[3], "endtime": "2024-03-15 10:00:00", "dscg_way": "1"}
    body.update(infno="2402", input={"dscginfo": information})
    answer = await ends.send_bytes(json.dumps(body).encode())
    assert (answer["infcode"], answer["output"]) == (0, {})


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("resp-2401-failed.json", -2, "交易2304返回代码-1"),
        ("resp-1162-error-other-envelope.json", -2, "请使用医保电子凭证二维码"),
        ("resp-gateway-error-999.json", -2, "无法访问统一支付平台"),
        ("resp-2203A-malformed-trailing-comma.txt", -1, "[OUTCOME_UNKNOWN]"),
        ("resp-encrypted-output-jl.json", -1, "[OUTCOME_UNKNOWN]"),
    ],
)
async def test_a_settlement_answered_so_is_refused_or_in_doubt(ends: Ends, name: str, code: int, said: str) -> None:
    await ends.hold_line(CHONGQING, [2_000_046, 210_097, 130_089, 60_044, 1_599_816])
    ends.insured_core.script["2304"] = sample(f"infno/{name}")
    ends.insured_core.script["5203"] = sample("infno/resp-gateway-error-999.json")
    answer = await ends.send("req-2304-cq.json")
    assert answer["infcode"] == code, answer["err_msg"]
    assert said in answer["err_msg"]


def test_a_settlement_sheet_of_other_names_is_read() -> None:
    info = envelope.parse_answer(sample("infno/resp-5261-hn-mojibake.json")).node("setlinfo")
    split = SettlementSplit()
    maps.SPLIT.read(info, split, CodeTables.load(CODE_TABLES), "setlinfo")
    assert (split.total_fen, split.full_self_pay_fen, split.personal_part_fen) == (280_000, 280_000, 0)
    assert "�" in info["psn_name"], "beyond repair, and kept as received"
