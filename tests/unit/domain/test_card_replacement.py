"""The replacement saga: steps in order, each failed, repeated, late, refused, undone."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import replacement_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_broker.domain.model import TimerPurpose, timer_id
from onecard_broker.domain.replacement_states import (
    ReplacementPhase,
    StepPhase,
)
from onecard_broker.domain.replacement_steps import step_of
from onecard_protocol import limits
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message
from tests.support.domain import START_MS
from tests.support.holders import (
    BEIJING,
    GUANGXI,
    NEW,
    OLD,
    OTHER_BANK,
    SICHUAN,
    Registry,
    refusals,
    step_in,
    step_name,
)
from tests.support.replacements import (
    AGAIN,
    ALREADY,
    DOUBT,
    FINAL,
    HOLDER,
    ORDER,
    REPORT,
    ask_again,
    begun,
    cancel,
    confirm,
    newest,
    phases,
    reply_all,
)


@pytest.fixture
def registry() -> Registry:
    return begun()


# ---- the way forward -----------------------------------------------------------------------------------------------


def test_enabling_a_successor_begins_the_saga_at_the_old_cards_issuer(registry: Registry) -> None:
    (asked,) = registry.steps_asked()
    assert (step_name(asked), asked.header.recipient) == ("OLD_SUPERSEDED", BEIJING)
    request = step_in(asked)
    assert (request.old_card.number, request.new_card.number) == (OLD[1], NEW[1])
    assert request.person.number == HOLDER.number
    assert registry.replacement().phase == ReplacementPhase.RUNNING


def test_the_steps_follow_each_other_and_the_benefit_account_stays_open_until_confirmed(registry: Registry) -> None:
    reply_all(registry)
    assert [step_name(asked) for asked in registry.steps_asked()] == ORDER
    assert [asked.header.recipient for asked in registry.steps_asked()] == [BEIJING, GUANGXI, GUANGXI, SICHUAN, SICHUAN]
    assert registry.replacement().phase == ReplacementPhase.OPEN
    assert phases(registry)["BENEFIT_ACCOUNT_CHANGED"] == StepPhase.OPEN

    assert confirm(registry) == []
    assert registry.replacement().phase == ReplacementPhase.COMPLETED
    assert registry.replacement().ended_ms == registry.now_ms
    assert registry.timers == {}


def test_without_a_residence_the_new_cards_issuer_carries_out_all() -> None:
    registry = Registry()
    registry.tell(HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD, residence_area=""))
    reply_all(registry)
    assert {asked.header.recipient for asked in registry.steps_asked()[1:]} == {GUANGXI}


def test_a_card_of_an_unknown_predecessor_is_replaced_all_the_same() -> None:
    registry = Registry()
    registry.tell(HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))
    assert step_name(registry.steps_asked()[0]) == "OLD_SUPERSEDED"


def test_a_card_first_told_of_long_after_its_enabling_begins_nothing() -> None:
    registry = Registry()
    registry.tell(HOLDER.social("DATA_CHANGED", 40, card=NEW, state="ACTIVE", replaces=OLD))
    assert registry.holder().replacements == ()


def test_a_pair_of_cards_is_replaced_once(registry: Registry) -> None:
    registry.tell(HOLDER.social("LOST", 3, card=NEW, replaces=OLD))
    registry.tell(HOLDER.social("FOUND", 4, card=NEW, replaces=OLD))
    assert len(registry.holder().replacements) == 1


def test_done_already_is_done_in_either_form(registry: Registry) -> None:
    registry.reply(newest(registry, "OLD_SUPERSEDED"), ALREADY)
    registry.reply(newest(registry, "ELECTRONIC_CARD_REBOUND"), replacement_pb2.CarryOutStepResponse(was_already=True))
    assert phases(registry)["ELECTRONIC_CARD_REBOUND"] == StepPhase.DONE


@pytest.mark.parametrize("change", ["SUPERSEDED", "CANCELLED"])
def test_the_old_issuers_own_word_completes_its_step(registry: Registry, change: str) -> None:
    registry.reply(newest(registry, "OLD_SUPERSEDED"), FINAL)
    registry.tell(HOLDER.social(change, 2))
    assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.DONE
    assert step_name(registry.steps_asked()[-1]) == "BENEFIT_ACCOUNT_CHANGED"


def test_what_a_card_takes_over_moves_on_only_when_it_is_there(registry: Registry) -> None:
    """A second replacement in a hurry: the e-card does not leave the second card before it came to it."""
    third = (SICHUAN, "C30000003", 1)
    registry.tell(HOLDER.social("ENABLED", 1, card=third, replaces=NEW))
    first, second = registry.holder().replacements
    for asked in registry.steps_asked():
        registry.reply(asked)
    assert [step_in(asked).replacement_id for asked in registry.steps_asked()].count(id_text(second.id)) == 1
    reply_all(registry)
    ids = [step_in(asked).replacement_id for asked in registry.steps_asked()]
    assert ids[-4:] == [id_text(second.id)] * 4
    assert ids.count(id_text(first.id)) == 5
    assert [known.phase for known in registry.holder().replacements] == [ReplacementPhase.OPEN] * 2


# ---- failures ------------------------------------------------------------------------------------------------------


def fail(registry: Registry, asked: Message, how: str) -> None:
    if how == "overdue":
        registry.now_ms += limits.UNKNOWN_TIMER_MS
        registry.fire(timer_id(TimerPurpose.ANSWER_OVERDUE, asked.key))
    else:
        registry.reply(asked, {"again": AGAIN, "doubt": DOUBT, "report": REPORT}[how])


@pytest.mark.parametrize("how", ["again", "doubt", "report", "overdue"])
def test_a_step_that_fails_is_asked_for_again_after_growing_delays_and_then_waits_for_a_person(
    registry: Registry, how: str
) -> None:
    for delay_ms in limits.REPLACEMENT_RETRY_DELAYS_MS:
        before = len(registry.steps_asked())
        fail(registry, newest(registry, "OLD_SUPERSEDED"), how)
        assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.RETRYING
        at_ms = registry.now_ms
        registry.advance(at_ms + delay_ms - 1)
        assert len(registry.steps_asked()) == before
        registry.advance(at_ms + delay_ms)
        assert len(registry.steps_asked()) == before + 1
    fail(registry, newest(registry, "OLD_SUPERSEDED"), how)
    assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.STUCK
    assert registry.replacement().phase == ReplacementPhase.STUCK
    assert len({asked.header.id for asked in registry.steps_asked()}) == len(limits.REPLACEMENT_RETRY_DELAYS_MS) + 1


def test_a_final_refusal_sticks_at_once_and_is_visible(registry: Registry) -> None:
    registry.reply(newest(registry, "OLD_SUPERSEDED"), FINAL)
    step = step_of(registry.replacement(), replacement_pb2.REPLACEMENT_STEP_OLD_SUPERSEDED)
    assert (step.phase, step.reason) == (StepPhase.STUCK, errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM)
    assert registry.replacement().phase == ReplacementPhase.STUCK


def test_a_late_reply_to_any_attempt_completes_the_step(registry: Registry) -> None:
    first = newest(registry, "OLD_SUPERSEDED")
    fail(registry, first, "overdue")
    registry.advance(registry.now_ms + limits.REPLACEMENT_RETRY_DELAYS_MS[0])
    registry.reply(first)
    assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.DONE
    registry.reply(newest(registry, "OLD_SUPERSEDED"))
    assert [step_name(asked) for asked in registry.steps_asked()].count("ELECTRONIC_CARD_REBOUND") == 1


@pytest.mark.parametrize(
    "word", [AGAIN, FINAL, DOUBT, REPORT, None], ids=["again", "final", "doubt", "report", "overdue"]
)
def test_what_an_earlier_attempt_ends_in_says_nothing_about_the_newest(
    registry: Registry, word: ProtoMessage | None
) -> None:
    first = newest(registry, "OLD_SUPERSEDED")
    fail(registry, first, "doubt")
    registry.advance(registry.now_ms + limits.REPLACEMENT_RETRY_DELAYS_MS[0])
    before = registry.replacement()
    if word is None:
        registry.fire(timer_id(TimerPurpose.ANSWER_OVERDUE, first.key))
    else:
        registry.reply(first, word, seed="late")
    assert registry.replacement() == before


def test_a_late_reply_frees_what_was_stuck(registry: Registry) -> None:
    for _ in range(len(limits.REPLACEMENT_RETRY_DELAYS_MS) + 1):
        fail(registry, newest(registry, "OLD_SUPERSEDED"), "overdue")
        registry.advance(registry.now_ms + max(limits.REPLACEMENT_RETRY_DELAYS_MS))
    assert registry.replacement().phase == ReplacementPhase.STUCK
    registry.reply(newest(registry, "OLD_SUPERSEDED"))
    assert registry.replacement().phase == ReplacementPhase.RUNNING


def test_what_is_stuck_is_asked_for_again_by_an_operators_word_and_only_that(registry: Registry) -> None:
    registry.reply(newest(registry, "OLD_SUPERSEDED"), FINAL)
    assert registry.replacement().phase == ReplacementPhase.STUCK
    asked = ask_again(registry, "mended")
    assert asked == 1
    assert registry.replacement().phase == ReplacementPhase.RUNNING
    assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.ASKED
    assert ask_again(registry, "once more") == 0
    registry.reply(newest(registry, "OLD_SUPERSEDED"))
    assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.DONE


def test_an_undoing_that_is_stuck_is_asked_for_again(registry: Registry) -> None:
    registry.reply(newest(registry, "OLD_SUPERSEDED"))
    cancel(registry)
    registry.reply(newest(registry, "back BENEFIT_ACCOUNT_CHANGED"), FINAL)
    assert registry.replacement().phase == ReplacementPhase.UNDO_STUCK
    assert ask_again(registry, "mended") == 1
    assert phases(registry)["BENEFIT_ACCOUNT_CHANGED"] == StepPhase.UNDOING


# ---- the benefit account -------------------------------------------------------------------------------------------


def test_a_benefit_account_that_nobody_confirms_is_alarmed_after_its_deadline(registry: Registry) -> None:
    reply_all(registry)
    due_ms = registry.replacement().benefit_due_ms
    assert due_ms == START_MS + limits.BENEFIT_ACCOUNT_MS_MAX
    registry.advance(due_ms - 1)
    assert not registry.replacement().is_alarmed
    registry.advance(due_ms)
    assert registry.replacement().is_alarmed
    assert registry.replacement().phase == ReplacementPhase.OPEN
    assert confirm(registry) == []
    assert registry.replacement().phase == ReplacementPhase.COMPLETED


def test_a_confirmation_may_come_before_the_task_is_opened_and_again(registry: Registry) -> None:
    for seed in ("one", "two"):
        assert confirm(registry, seed=seed) == []
    reply_all(registry)
    assert registry.replacement().phase == ReplacementPhase.COMPLETED
    assert "BENEFIT_ACCOUNT_CHANGED" not in [step_name(asked) for asked in registry.steps_asked()]


def test_a_benefit_account_at_another_bank_than_the_new_cards_confirms_nothing(registry: Registry) -> None:
    reply_all(registry)
    assert confirm(registry, bank=OTHER_BANK) == ["BENEFIT_BANK_MISMATCH"]
    assert phases(registry)["BENEFIT_ACCOUNT_CHANGED"] == StepPhase.OPEN
    registry.tell(HOLDER.social("DATA_CHANGED", 3, card=NEW, state="ACTIVE", bank=OTHER_BANK))
    assert confirm(registry, seed="old bank") == ["BENEFIT_BANK_MISMATCH"]
    assert confirm(registry, seed="now", bank=OTHER_BANK) == []
    assert registry.replacement().phase == ReplacementPhase.COMPLETED


def test_a_confirmation_of_no_replacement_or_of_one_undone_is_refused(registry: Registry) -> None:
    assert refusals(registry.tell(HOLDER.confirm("0" * 12 + "7" + "0" * 3 + "8" + "0" * 15))) == ["REPLACEMENT_UNKNOWN"]
    cancel(registry)
    assert confirm(registry, seed="late") == ["REPLACEMENT_UNDONE"]


# ---- the way back --------------------------------------------------------------------------------------------------


def test_a_new_card_cancelled_takes_the_saga_back_in_reverse_and_leaves_the_old_card_ended(registry: Registry) -> None:
    reply_all(registry)
    cancel(registry)
    reply_all(registry)
    assert [step_name(asked) for asked in registry.steps_asked()[5:]] == [
        "back BENEFIT_ACCOUNT_CHANGED",
        "back MEDICAL_ACCOUNT_MOVED",
        "back CREDENTIAL_FOLLOWED",
        "back ELECTRONIC_CARD_REBOUND",
    ]
    assert registry.replacement().phase == ReplacementPhase.UNDONE
    assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.DONE
    assert registry.social_state(OLD) == "SUPERSEDED"
    assert registry.timers == {}


def test_what_was_never_asked_for_is_not_undone(registry: Registry) -> None:
    cancel(registry)
    assert registry.replacement().phase == ReplacementPhase.UNDONE
    assert [step_name(asked) for asked in registry.steps_asked()] == ["OLD_SUPERSEDED"]
    registry.reply(newest(registry, "OLD_SUPERSEDED"))
    assert phases(registry)["OLD_SUPERSEDED"] == StepPhase.DONE
    assert len(registry.steps_asked()) == 1


def test_a_completed_replacement_is_not_taken_back(registry: Registry) -> None:
    reply_all(registry)
    confirm(registry)
    cancel(registry)
    assert registry.replacement().phase == ReplacementPhase.COMPLETED


def test_a_late_reply_of_the_way_forward_does_not_count_for_the_way_back(registry: Registry) -> None:
    registry.reply(newest(registry, "OLD_SUPERSEDED"))
    forward = newest(registry, "ELECTRONIC_CARD_REBOUND")
    cancel(registry)
    registry.reply(newest(registry, "back BENEFIT_ACCOUNT_CHANGED"))
    registry.reply(forward)
    assert phases(registry)["ELECTRONIC_CARD_REBOUND"] == StepPhase.UNDOING
    registry.reply(newest(registry, "back ELECTRONIC_CARD_REBOUND"))
    assert registry.replacement().phase == ReplacementPhase.UNDONE
