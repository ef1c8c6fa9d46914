"""The drill `card-replaced`: a Sichuan patient's card is replaced while the patient lies in a Guangdong hospital.

The new card is enabled and the old one refused; e-card, medical credential and account follow step by step; the stay is
settled on the old card, with which it began, when that has ended at the hub and in Sichuan; the saga closes when the
agency confirms the benefit account.
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.explained import Text
from onecard_protocol.redaction import mask_number
from onecard_stubs.dev.processes import run_program
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.guangdong.counter import Credential, Stay
from onecard_stubs.guangdong.hospital import Hospital
from onecard_stubs.population import Person, Population
from onecard_stubs.scenarios.accounts import mark, take_accounts
from onecard_stubs.scenarios.control import command, until
from onecard_stubs.scenarios.medical import INSURANCE_KIND, choose_patient, fee_items, file_outwards, require
from onecard_stubs.scenarios.result import Check, Report, Scenario, ScenarioResult, Shown, same
from onecard_stubs.sichuan.cards import STATUSES

ISSUER: Final = "cn-51"
PLACE_OF_CARE: Final = "cn-44"
BANK: Final = "bank-102"

_ACTIVE_ACCOUNT: Final = "1"
_STEP_FIGURES: Final = ("step", "phase", "recipient", "attempt", "changed_time")
"""What is told of a step for machines, by the names of `onecard card saga --json`."""
_STEPS: Final[Mapping[str, Text]] = {
    "NEW_ENABLED": Text(en="the new card is enabled", zh="新卡启用"),
    "OLD_SUPERSEDED": Text(en="the old card ends", zh="原卡失效"),
    "ELECTRONIC_CARD_REBOUND": Text(en="the e-card is bound to it", zh="电子社保卡换绑"),
    "CREDENTIAL_FOLLOWED": Text(en="the medical credential follows", zh="就医凭证随卡变更"),
    "MEDICAL_ACCOUNT_MOVED": Text(en="the personal medical account moves", zh="医保个人账户转移"),
    "BENEFIT_ACCOUNT_CHANGED": Text(en="the benefit account is changed", zh="待遇发放账户变更"),
}


async def run(country: RunningCountry, report: Report) -> ScenarioResult:
    """Play it. Raises NotDone where a step is refused or does not come."""
    started = time.monotonic()
    person = await _choose(country)
    report("Sichuan and the bank tell of the patient's card and account")
    old = await _told(country, person)
    since = await mark(country)
    report("the patient is admitted to a hospital in Guangdong, with the old card")
    today = datetime.now(SHANGHAI).date()
    await file_outwards(country, person, today)
    hospital = Hospital(country.adapter_urls[PLACE_OF_CARE])
    try:
        stay = await _admitted(hospital, person, old, today, number=f"ZY{since.since_ms}1")
        trial = require("2303", await hospital.pre_settle(stay)).output["setlinfo"]
        report("the old card is lost: a new one is made and enabled in Sichuan")
        made = await command(country, ISSUER, "reissue", {"identity_number": person.identity_number})
        await _open_account(country, person, made["card_number"])
        await verdict(country, person, old.number, is_usable=False)
        await _ended_in_sichuan(country, person, old.number)
        report("the patient is discharged, and the stay settled on the old card")
        require("2402", await hospital.discharge(stay, day=today))
        settled = require("2304", await hospital.settle(stay)).output["setlinfo"]
    finally:
        await hospital.close()
    report("the replacement goes on, step by step")
    waiting = await saga_in(country, person, "open")
    accepted = await verdict(country, person, made["card_number"], is_usable=True)
    await _account_known(country, person)
    report("the agency confirms the benefit account")
    await command(country, ISSUER, "confirm_benefit_account", {"identity_number": person.identity_number})
    saga = await saga_in(country, person, "completed")
    refused = await verdict(country, person, old.number, is_usable=False)
    shown = await _show(country, person)
    hanging = await command(country, ISSUER, "show_cards", {"identity_number": person.identity_number})
    reached = await _credentials(country, person, stay)
    played_ms = round((time.monotonic() - started) * 1000)
    report("comparing outboxes, journal and inboxes")
    accounts = await take_accounts(country, since)
    states = [(card["social"]["state"], card["financial"]["state"]) for card in shown["cards"]]
    phases = {step["step"]: step["phase"] for step in waiting["steps"]}
    return ScenarioResult(
        scenario="card-replaced",
        duration_ms=played_ms,
        accounts=accounts,
        checks=(
            Check(
                what=Text(en="the stay was settled as it was pre-settled", zh="住院按预结算结果完成结算"),
                holds=trial["fund_pay_sumamt"] == settled["fund_pay_sumamt"],
            ),
            Check(
                what=Text(
                    en="Sichuan's core was told the old card at admission and, when it had ended, at settlement",
                    zh="四川核心系统在入院登记时和原卡失效后的结算时收到的凭证均为原卡",
                ),
                holds=reached == [old, old],
                found=" ".join(f"{credential.kind} {mask_number(credential.number)}" for credential in reached),
            ),
            Check(
                what=Text(en="one card is in use, the old one has ended", zh="仅一张卡在用，原卡失效"),
                holds=[state for state, _ in states] == ["ACTIVE", "SUPERSEDED"],
                found=" ".join(state for state, _ in states),
            ),
            Check(
                what=Text(
                    en="the new card's account is known; a report that came before the card's was refused"
                    " (CARD_UNKNOWN) and told again",
                    zh="新卡的金融账户已入库；先于制卡上报到达的账户上报被拒（CARD_UNKNOWN）后已重新上报",
                ),
                holds=states[0][1] == "ACTIVE",
                found=states[0][1],
            ),
            Check(
                what=Text(en="the old card's account outlives it", zh="原卡金融账户仍存续"),
                holds=states[-1][1] == "ACTIVE",
                found=states[-1][1],
            ),
            Check(
                what=Text(en="a counter refuses the old card and accepts the new one", zh="柜台拒绝原卡、接受新卡"),
                holds=accepted["is_usable"] and not refused["is_usable"],
                found=refused["reason"],
            ),
            Check(
                what=Text(en="e-card, credential and account hang on the new card", zh="电子卡、凭证、账户均随新卡"),
                holds={hanging["electronic_card_on"], hanging["credential_on"], hanging["medical_account_on"]}
                == {made["card_number"]},
            ),
            Check(
                what=Text(
                    en="the benefit account stayed open until the agency confirmed it",
                    zh="待遇账户变更在经办确认前保持待办",
                ),
                holds=phases["BENEFIT_ACCOUNT_CHANGED"] == "open" and saga["phase"] == "completed",
            ),
        ),
        patient=f"{person.name[0]}**",
        tables=(_steps_table(saga),),
        own_figures={
            "replacement": saga["id"],
            "refused_reason": refused["reason"],
            "steps": [{name: step[name] for name in _STEP_FIGURES} for step in saga["steps"]],
        },
    )


# ---- before --------------------------------------------------------------------------------------------------------


async def _choose(country: RunningCountry) -> Person:
    """A patient who has had no card replaced and no filing yet; another one each time the drill is played."""
    filings = int((await command(country, ISSUER, "describe"))["filings"])
    return choose_patient(Population(), filings)


async def _told(country: RunningCountry, person: Person) -> Credential:
    """Let the registry know of the patient's card and its account; returns the card."""
    cards = (await command(country, ISSUER, "show_cards", {"identity_number": person.identity_number}))["cards"]
    card = Credential.card(cards[-1]["card_number"], cards[-1]["recognition_code"])
    await command(country, ISSUER, "tell_all", {"identity_number": person.identity_number})
    await verdict(country, person, card.number, is_usable=True)
    await _open_account(country, person, card.number)
    await _account_known(country, person)
    return card


async def _account_known(country: RunningCountry, person: Person) -> None:
    """Wait until the registry knows the account of the card in use."""

    async def look() -> bool | None:
        used, *_ = (await _show(country, person))["cards"]
        return used["financial"]["state"] == "ACTIVE" or None

    await until(look, Text(en="The bank's account did not come.", zh="未收到金融账户信息。"), seconds=60)


async def _open_account(country: RunningCountry, person: Person, number: str) -> None:
    card = {"issue_prov": ISSUER.removeprefix("cn-"), "card_number": number, "identity_number": person.identity_number}
    await command(country, BANK, "open", {"cards": [card], "status": _ACTIVE_ACCOUNT})


# ---- the stay ------------------------------------------------------------------------------------------------------


async def _admitted(hospital: Hospital, person: Person, card: Credential, today: date, *, number: str) -> Stay:
    area = person.active_enrolments[0].insurance_area
    require("9001", await hospital.sign_in())
    require("1101", await hospital.identify_by_card(person, insurance_area=area, card=card))
    day = today - timedelta(days=3)
    admitted, stay = await hospital.admit(
        person, insurance_area=area, insurance_kind=INSURANCE_KIND, number=number, day=day, credential=card
    )
    require("2401", admitted)
    require("2301", await hospital.upload_fees(stay, fee_items(12), day=day + timedelta(days=1)))
    return stay


async def _ended_in_sichuan(country: RunningCountry, person: Person, number: str) -> None:
    """Wait until Sichuan has ended the old card at the hub's word, in the system that will settle."""

    async def look() -> bool | None:
        cards = (await command(country, ISSUER, "show_cards", {"identity_number": person.identity_number}))["cards"]
        return (number, STATUSES.superseded) in {(card["card_number"], card["status"]) for card in cards} or None

    await until(look, Text(en="The old card did not end in Sichuan.", zh="四川的原卡未失效。"), seconds=60)


async def _credentials(country: RunningCountry, person: Person, stay: Stay) -> list[Credential]:
    """What Sichuan's core was told in the registration of a stay and in its settlement."""
    told = await command(country, ISSUER, "show_credentials", {"identity_number": person.identity_number})
    return [
        Credential(**settlement[when])
        for settlement in told["settlements"]
        if settlement["visit_id"] == stay.visit_id
        for when in ("registered", "settled")
    ]


# ---- looking -------------------------------------------------------------------------------------------------------


async def verdict(country: RunningCountry, person: Person, number: str, *, is_usable: bool) -> dict[str, Any]:
    """What a counter in Guangdong is told, as soon as it is what is waited for."""
    body = {"identity_number": person.identity_number, "card_number": number}

    async def look() -> dict[str, Any] | None:
        answer = await command(country, PLACE_OF_CARE, "verify", body)
        return answer if answer["is_usable"] is is_usable else None

    what = Text(
        en=f"The counter did not {'accept' if is_usable else 'refuse'} the card.",
        zh=f"柜台未{'接受' if is_usable else '拒绝'}该卡。",
    )
    return await until(look, what, seconds=60)


async def saga_in(country: RunningCountry, person: Person, phase: str) -> dict[str, Any]:
    """The replacement once it has reached a phase, as `onecard card saga` tells it."""

    async def look() -> dict[str, Any] | None:
        known = (await _show(country, person))["replacements"]
        if not known:
            return None
        saga = await _onecard("card", "saga", known[-1]["id"], "--json", "--config", str(country.hub_config))
        return saga if saga["phase"] == phase else None

    return await until(
        look,
        Text(en=f"The replacement did not become {phase}.", zh=f"换卡业务未进入 {phase} 状态。"),
        seconds=90,
        pause_seconds=0.5,
    )


async def _show(country: RunningCountry, person: Person) -> dict[str, Any]:
    """The person's cards, as `onecard card show` tells them."""
    return await _onecard(
        *("card", "show", "--person-number", "--json", "--config", str(country.hub_config)),
        typed=person.identity_number,
    )


async def _onecard(*arguments: str, typed: str = "") -> dict[str, Any]:
    """The JSON of a command, which reads a number from its standard input, where nobody sees it."""
    code, output, errors = await run_program(*arguments, typed=f"{typed}\n")
    if code:
        raise RuntimeError(f"onecard {' '.join(arguments[:2])}: {errors.decode()[-2000:]}")
    told: dict[str, Any] = json.loads(output)
    return told


def _steps_table(saga: Mapping[str, Any]) -> Shown:
    rows: Sequence[tuple[Text, ...]] = [
        (
            _STEPS[step["step"]],
            same(step["recipient"]),
            same(step["phase"]),
            same(step["changed_time"][11:23]),
            same(str(step["attempt"] or "")),
        )
        for step in saga["steps"]
    ]
    return Shown(
        title=Text(en=f"The replacement {saga['id'][:8]}… step by step", zh=f"换卡 {saga['id'][:8]}… 各步骤"),
        columns=(
            Text(en="step", zh="步骤"),
            Text(en="by whom", zh="办理方"),
            Text(en="state", zh="状态"),
            Text(en="since", zh="时间"),
            Text(en="attempts", zh="次数"),
        ),
        rows=rows,
    )


CARD_REPLACED: Final = Scenario(
    name="card-replaced",
    what=Text(
        en="A Sichuan patient's card is replaced during a stay in Guangdong; everything follows, and nothing breaks.",
        zh="四川参保患者在广东住院期间换卡；各项权益随卡转移，住院结算不受影响。",
    ),
    provinces=(PLACE_OF_CARE, ISSUER, BANK),
    run=run,
)
