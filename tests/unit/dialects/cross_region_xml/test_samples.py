"""The samples' inner documents, read into national messages: what they tell, and what they leave out."""

import pytest

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard.exchange.v1.values_pb2 import PersonIdentity
from onecard.medical.v1.settlement_pb2 import SettlementTerms
from onecard_adapters.dialects.cross_region_xml import forms, gbk, safe_xml, split, times
from onecard_adapters.dialects.cross_region_xml.heads import read_person
from onecard_adapters.dialects.cross_region_xml.insured import read_coverage
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, leaf
from onecard_adapters.dialects.cross_region_xml.split import read_split
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError
from tests.support.samples import sample
from tests.support.sichuan import CODE_TABLES, coded, day

TABLES = CodeTables.load(CODE_TABLES)
NUMBER = "440000195901019919"


def document(name: str) -> Element:
    return safe_xml.parse(gbk.decode(sample(f"xml-legacy/{name}"), name), name)


def output(name: str) -> Element:
    found = document(name).find("output")
    assert found is not None
    return found


def test_the_identification_answer_tells_one_enrolment_and_keeps_the_damaged_name() -> None:
    asked = PersonIdentity(kind=coded("nhsa.psn_cert_type", "90"), number=NUMBER)
    coverage = read_coverage(output("gd-0211-identify-resp.xml"), asked, TABLES)
    assert coverage.details.name == "陈?"
    assert coverage.details.birth_day == day("1959-01-01")
    (enrolment,) = coverage.enrolments
    assert enrolment.insurance_area == "441400"
    # 21 of this form is a retired employee; the kind of insurance is not told and not guessed.
    assert enrolment.person_class == coded("nhsa.psn_type", "1201")
    assert not enrolment.HasField("insurance_kind")
    assert not enrolment.is_civil_servant
    # The form has no personal number: the social security number is what the place knows the person by.
    assert coverage.insured_number.personal_number == NUMBER


def test_an_answer_about_another_person_is_refused_without_naming_anybody() -> None:
    asked = PersonIdentity(kind=coded("nhsa.psn_cert_type", "01"), number="51000020170101997X")
    with pytest.raises(OneCardError) as caught:
        read_coverage(output("gd-0211-identify-resp.xml"), asked, TABLES)
    assert caught.value.reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID
    assert "another person" in caught.value.detail
    assert NUMBER not in caught.value.detail


def test_a_social_card_with_an_identity_number_names_that_citizen() -> None:
    person = read_person(document("gd-0211-identify-req.xml"), TABLES)
    assert person == PersonIdentity(kind=coded("nhsa.psn_cert_type", "90"), number=NUMBER)


def test_the_settlement_answer_closes_to_the_fen_with_cash_from_the_identities() -> None:
    told = read_split(output("gd-0304-settle-resp.xml"), TABLES, is_red=False)
    assert told.total_fen == 500_010
    assert (told.full_self_pay_fen, told.preceding_self_pay_fen, told.in_scope_fen) == (20_000, 30_010, 450_000)
    assert told.deductible_fen == 60_000
    assert told.fund_total_fen == told.pooling_fund_fen == 351_000
    # The form carries neither: 5000.10 - 3510.00.
    assert told.cash_fen == told.personal_part_fen == 149_010
    assert told.hospital_part_fen == 0


def test_a_settlement_answer_without_its_time_was_settled_on_the_day_sent() -> None:
    when = split.settled_time(output("gd-0304-settle-resp.xml"), "20240312")
    assert times.text_from(when) == "20240312000000"


def test_the_settlement_request_gives_the_terms_that_it_has() -> None:
    terms = SettlementTerms()
    forms.read_into(forms.TERMS, document("gd-0304-settle-req.xml"), terms, TABLES)
    assert terms.fees.total_fen == 500_010
    assert terms.last_day == day("2024-03-12")
    assert not terms.HasField("care_kind")


def test_the_undo_request_means_all_lines() -> None:
    request = document("gd-0302-undo-all-details-req.xml")
    assert (request.value("otransid"), request.value("ykc610")) == ("0", "")
    assert forms.rows_of(request, "detail") == []


def test_the_query_request_pages_from_one() -> None:
    assert document("gd-0707-query-details-req.xml").value("startrow") == "1"


@pytest.mark.parametrize(
    ("element", "value", "identity"),
    [
        ("akc264", "5000.11", "total = full self-pay"),
        ("akb068", "3510.01", "fund total = sum of the funds"),
        ("akb067", "1490.11", "personal part"),
    ],
)
def test_amounts_that_do_not_add_up_name_the_identity_that_fails(element: str, value: str, identity: str) -> None:
    told = output("gd-0304-settle-resp.xml")
    extra = [leaf("yzc002", "1490.10")] if element == "akb067" else []
    changed = Element(
        name="output",
        children=(*(child for child in told.children if child.name != element), leaf(element, value), *extra),
    )
    with pytest.raises(OneCardError) as caught:
        read_split(changed, TABLES, is_red=False)
    assert caught.value.reason == ErrorReason.ERROR_REASON_AMOUNTS_INCONSISTENT
    assert any(identity in broken for _, broken in caught.value.violations)


def test_a_list_that_holds_something_else_than_rows_is_refused() -> None:
    holder = safe_xml.parse("<output><detail><line/></detail></output>", "output")
    with pytest.raises(OneCardError) as caught:
        forms.rows_of(holder, "detail")
    assert caught.value.detail == "output.detail: holds something else than rows"


@pytest.mark.parametrize("text", ["2024-03-12", "20240231", "202403121", "", "20240312250000"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OneCardError):
        times.timestamp_from(text, "output.ykc621")
