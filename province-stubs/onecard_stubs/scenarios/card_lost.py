"""The drill `card-lost`: a card reported lost in Beijing is refused at a counter in Guilin, found again, and accepted.

The time of the refusal is counted from the commit in Beijing's table; how often the adapter looks there stands beside.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from onecard_protocol.explained import Text
from onecard_protocol.settings_file import read_settings
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.scenarios.accounts import mark, take_accounts
from onecard_stubs.scenarios.control import command, now_ms, until
from onecard_stubs.scenarios.result import Check, Report, Scenario, ScenarioResult, Shown, same

BEIJING: Final = "cn-11"
GUILIN: Final = "cn-45"
IN_USE: Final = 1
"""AAZ502."""

_RECOGNITION_CODE: Final = "110000" + "0123456789ABCDEF0123456789"
"""What the counter reads from the chip; Beijing's table holds no such code, so the number decides."""

_LOOK_SECONDS: Final = 0.02


async def run(country: RunningCountry, report: Report) -> ScenarioResult:
    """Play it. Raises NotDone where a step is refused or does not come."""
    started = time.monotonic()
    card = await _card_in_use(country)
    report("a counter in Guilin accepts the card")
    accepted = await _verdict(country, card, is_usable=True)
    since = await mark(country)
    report("the holder calls the hotline in Beijing")
    lost = await command(country, BEIJING, "report_lost", {"card_number": card["card_number"], "is_formal": True})
    refused = await _verdict(country, card, is_usable=False)
    refused_after_ms = now_ms() - int(lost["committed_ms"])
    report("the card is found again")
    found = await command(country, BEIJING, "report_found", {"card_number": card["card_number"]})
    again = await _verdict(country, card, is_usable=True)
    accepted_after_ms = now_ms() - int(found["committed_ms"])
    played_ms = round((time.monotonic() - started) * 1000)
    report("comparing outboxes, journal and inboxes")
    accounts = await take_accounts(country, since)
    poll_ms = _poll_interval_ms(country)
    changes = [story for story in accounts.stories if story["method"].endswith("/ReportSocialChange")]
    return ScenarioResult(
        scenario="card-lost",
        duration_ms=played_ms,
        accounts=accounts,
        checks=(
            Check(
                what=Text(
                    en="the card is accepted before, refused while lost, accepted after",
                    zh="挂失前可用，挂失期间拒绝，解挂后可用",
                ),
                holds=accepted["is_usable"] and not refused["is_usable"] and again["is_usable"],
            ),
            Check(
                what=Text(en="the counter reads that it was lost, and nothing else", zh="柜台只得知已挂失"),
                holds="挂失" in refused["reason"] and set(refused) == {"is_usable", "reason", "as_of", "duration_ms"},
                found=refused["reason"],
            ),
            Check(
                what=Text(en="two signed changes, no more", zh="仅有两条签名的状态变更"),
                holds=len(changes) == 2 and all(story["signature"]["is_good"] for story in changes),
                found=str(len(changes)),
            ),
        ),
        tables=(
            Shown(
                title=Text(en="At the counter in Guilin", zh="桂林柜台"),
                columns=(
                    Text(en="when", zh="时间"),
                    Text(en="usable", zh="可用"),
                    Text(en="reason shown", zh="显示原因"),
                    Text(en="after the commit in Beijing", zh="距北京提交"),
                ),
                rows=(
                    _row(Text(en="before", zh="挂失前"), accepted, None),
                    _row(Text(en="reported lost", zh="挂失后"), refused, refused_after_ms),
                    _row(Text(en="found again", zh="解挂后"), again, accepted_after_ms),
                ),
            ),
            Shown(
                title=Text(en="How long it took", zh="耗时"),
                columns=(Text(en="what", zh="项目"), Text(en="ms", zh="毫秒")),
                rows=(
                    (Text(en="loss to refusal", zh="挂失至拒绝"), same(str(refused_after_ms))),
                    (
                        Text(en="Beijing's table is read every", zh="读取北京数据表的间隔"),
                        same(str(poll_ms)),
                    ),
                ),
            ),
        ),
        own_figures={
            "refused_after_ms": refused_after_ms,
            "accepted_after_ms": accepted_after_ms,
            "poll_interval_ms": poll_ms,
        },
    )


async def _card_in_use(country: RunningCountry) -> Mapping[str, Any]:
    """A holder's card that is in use by Beijing's table."""
    for identity_number in (await command(country, BEIJING, "show"))["holders"]:
        shown = await command(country, BEIJING, "show", {"identity_number": identity_number})
        for card in shown["cards"]:
            if card["aaz502"] == IN_USE:
                return {"identity_number": identity_number, "card_number": card["aaz500"]}
    raise RuntimeError("Beijing's office holds no card in use")


async def _verdict(country: RunningCountry, card: Mapping[str, Any], *, is_usable: bool) -> dict[str, Any]:
    """The counter's answer, as soon as it is the one waited for."""
    body = {
        "identity_number": card["identity_number"],
        "card_number": card["card_number"],
        "issuing_area": "110000",
        "recognition_code": _RECOGNITION_CODE,
    }

    async def look() -> dict[str, Any] | None:
        answer = await command(country, GUILIN, "verify", body)
        return answer if answer["is_usable"] is is_usable else None

    what = Text(
        en=f"The counter in Guilin did not {'accept' if is_usable else 'refuse'} the card.",
        zh=f"桂林柜台未{'接受' if is_usable else '拒绝'}该卡。",
    )
    return await until(look, what, seconds=60, pause_seconds=_LOOK_SECONDS)


def _poll_interval_ms(country: RunningCountry) -> int:
    profile = read_settings(country.directory / f"{BEIJING}.profile.yaml")
    return int(profile["card"]["database"]["poll_interval_ms"])


def _row(when: Text, answer: Mapping[str, Any], after_ms: int | None) -> tuple[Text, ...]:
    usable = Text(en="yes", zh="是") if answer["is_usable"] else Text(en="no", zh="否")
    return when, usable, same(str(answer["reason"])), same("" if after_ms is None else f"{after_ms} ms")


CARD_LOST: Final = Scenario(
    name="card-lost",
    what=Text(
        en="A card reported lost in Beijing is refused at a counter in Guilin, and accepted again when it is found.",
        zh="北京挂失的社保卡在桂林柜台被拒绝；解挂后恢复使用。",
    ),
    provinces=(BEIJING, GUILIN),
    run=run,
)
