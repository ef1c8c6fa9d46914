"""The page of the dialect and Sichuan's profile agree with the code."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters import profiles
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlInsuredSettings
from onecard_adapters.dialects.cross_region_xml.trades import TRADES, TradeNumber, trade_of
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.profiles.models import load_profile
from onecard_protocol.errors import OneCardError
from onecard_protocol.methods import MethodRegistry
from onecard_stubs.sichuan.trades import TRADES as CORE_TRADES
from tests.support.sichuan import CODE_TABLES, core_settings

_ROOT = Path(__file__).parents[4]
_PROFILE = Path(profiles.__file__).parent / "cn-51.yaml"


def _table() -> dict[str, list[str]]:
    page = (_ROOT / "docs" / "dialects" / "cross-region-xml.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if re.match(r"\| [0-9]{4} \|", line)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def test_the_pages_table_is_the_codes_table() -> None:
    table = _table()
    assert set(table) == set(TRADES)
    for number, (title, effect, method, form) in table.items():
        trade = TRADES[TradeNumber(number)]
        assert title == trade.title
        assert effect == ("yes" if trade.has_effect else "no")
        assert method == (trade.national_method.removeprefix("/onecard.medical.v1.") or "stays in the province")
        assert form == (", ".join(Path(name).name for name in trade.samples) or "ours")


def test_every_sample_that_the_table_names_is_there_and_every_method_is_of_the_protocol() -> None:
    methods = MethodRegistry.load()
    for trade in TRADES.values():
        for name in trade.samples:
            assert (_ROOT / "tests" / "samples" / name).is_file()
        if trade.national_method:
            assert methods[trade.national_method].has_effect == trade.has_effect


def test_the_core_of_the_stub_speaks_every_trade() -> None:
    assert set(CORE_TRADES) == set(TRADES)


@pytest.mark.parametrize("number", ["1101", "304", "０３０４", ""])
def test_another_number_is_no_trade(number: str) -> None:
    assert trade_of(number) is None


def test_sichuans_profile_loads_in_both_roles() -> None:
    profile = load_profile(_PROFILE)
    assert profile.province == "cn-51"
    assert isinstance(profile.insured, CrossRegionXmlInsuredSettings)
    assert profile.insured.recovery == "query-by-transid"
    assert profile.insured.core.reason_of(-31) == ErrorReason.ERROR_REASON_FEE_MISMATCH
    assert profile.insured.core.reason_of(-99) == ErrorReason.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM


@pytest.mark.parametrize(
    ("line", "changed", "said"),
    [
        ("  recovery: query-by-transid", "  # silent", "recovery"),
        ("-31: FEE_MISMATCH", "-31: NO_SUCH_REASON", "NO_SUCH_REASON"),
        ("operation: STYDJKService", "operation: Other", "operation"),
        ('area: "510000"', 'area: "440000"', "areas outside cn-51"),
        ("refusals:", "refusal:", "refusal"),
    ],
)
def test_a_profile_that_is_silent_or_wrong_is_refused(tmp_path: Path, line: str, changed: str, said: str) -> None:
    text = _PROFILE.read_text(encoding="utf-8")
    assert line in text
    (tmp_path / "cn-51.yaml").write_text(text.replace(line, changed), encoding="utf-8")
    with pytest.raises(OneCardError) as caught:
        load_profile(tmp_path / "cn-51.yaml")
    assert caught.value.reason == ErrorReason.ERROR_REASON_CONFIGURATION_INVALID
    assert said in str(caught.value)


def test_a_success_code_among_the_refusals_is_refused() -> None:
    core = core_settings("http://127.0.0.1:1/", "STYDJKService") | {"refusals": {0: "NOT_FILED"}}  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        CrossRegionXmlInsuredSettings.model_validate(
            {
                "dialect": "cross-region-xml",
                "core": core,
                "code_tables": CODE_TABLES,
                "area": "510000",
                "recovery": "none",
            }
        )


def test_both_dialects_mean_the_same_national_codes() -> None:
    """A code that one province writes is a code that the other reads: the systems and versions are the same."""
    infno = CodeTables.load(CODE_TABLES.with_name("nhsa-infno.yaml"))
    own = CodeTables.load(CODE_TABLES)
    for name in own:
        assert (own[name].system, own[name].system_version) == (infno[name].system, infno[name].system_version)
        assert set(own[name].by_national) == set(infno[name].by_national)
