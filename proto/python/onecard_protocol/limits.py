"""Every bound of the exchange, in one place, with its unit in its name.

The figures are starting values (design.md, section 4); the relations between them are what must hold and are checked
when this module is imported.
"""

from __future__ import annotations

from typing import Final

# Form of a message.
HEADER_BYTES_MAX: Final = 2_048
SIGNATURE_BLOCK_BYTES_MAX: Final = 2_048
CALL_METADATA_BYTES_MAX: Final = 4_096
CLIENT_METADATA_BYTES_MAX: Final = 8_192
"""What an ordinary gRPC client takes as metadata of an answer."""
CALL_TRAILING_BYTES_MAX: Final = 7_680
PAYLOAD_BYTES_MAX: Final = 131_072
DETAIL_CHARACTERS_MAX: Final = 500
KEY_ID_CHARACTERS_MAX: Final = 64
NETWORK_CHARACTERS_MAX: Final = 32
METHOD_CHARACTERS_MAX: Final = 128
BATCH_LEAF_COUNT_MAX: Final = 1_024
REMEMBERED_ROOT_COUNT_MAX: Final = 16_384

# Batches.
SUBMIT_BATCH_COUNT_MAX: Final = 512
SUBMIT_BATCH_BYTES_MAX: Final = 4 * 1_024 * 1_024
READ_OUTPUTS_COUNT_MAX: Final = 512
FEE_LINE_COUNT_MAX: Final = 100

# Time. Rule 10: the chain from creation to the caller's local limit.
EXECUTE_BEFORE_MS: Final = 10_000
LOCAL_CALL_MS: Final = 8_000
UNKNOWN_TIMER_MS: Final = 20_000
TYPED_CALL_MS: Final = 24_000
ADAPTER_ANSWER_MS: Final = 27_000
LOCAL_CALLER_MS: Final = 30_000

MESSAGE_AGE_MS_MAX: Final = 7 * 24 * 3_600_000
CLOCK_SKEW_MS_MAX: Final = 5_000
GATEWAY_CLOCK_SKEW_MS_MAX: Final = 500
TICK_MS: Final = 1_000
PARTITION_IDLE_TICK_MS: Final = 500
HUB_TIME_STALE_MS: Final = 5_000
CONTROL_STALE_MS: Final = 5_000
GAP_OPEN_MS: Final = 30_000
RECIPIENT_OFFLINE_MS: Final = 15_000
RECEIVER_SLOW_MS: Final = 20_000
INBOX_KEPT_MS: Final = 7 * 24 * 3_600_000
HUB_INBOX_KEPT_MS: Final = 3_600_000
OUTPUT_KEPT_MS: Final = 30 * 24 * 3_600_000
DROPPING_CLOCK_SKEW_MS_MAX: Final = 300_000
QUERY_DELAYS_MS: Final = (0, 60_000, 300_000, 1_800_000)
CARD_STALE_MS: Final = 2_000
REPLACEMENT_RETRY_DELAYS_MS: Final = (1_000, 10_000, 60_000, 600_000, 3_600_000)
BENEFIT_ACCOUNT_MS_MAX: Final = 30 * 24 * 3_600_000
LEASE_MS: Final = 6_000
LEASE_RENEW_MS: Final = 2_000

# Cards.
CARD_VERSION_MAX: Final = 2**53 - 1
CARD_SEQUENCE_MAX: Final = 99
CARD_MISSING_RANGE_COUNT_MAX: Final = 8
CARD_RANGE_COUNT_MAX: Final = 64
CARD_REPORT_COUNT_MAX: Final = 100
CARD_REPAIR_COUNT_MAX: Final = 50
CARD_CODE_SYSTEMS_PER_PARTICIPANT_COUNT_MAX: Final = 64
CARD_CODE_SYSTEMS_PER_SNAPSHOT_COUNT_MAX: Final = 1_024

# Working sizes.
WORKER_BATCH_COUNT_MAX: Final = 500
WORKER_BATCH_BYTES_MAX: Final = 8 * 1_024 * 1_024
DELIVERY_BATCH_COUNT_MAX: Final = 256
DELIVERY_CREDIT_COUNT_MAX: Final = 4_096
CALLS_HELD_COUNT_MAX: Final = 4_096
CALLS_HELD_PER_PARTICIPANT_COUNT_MAX: Final = 1_024
CALLS_HELD_PER_RECIPIENT_COUNT_MAX: Final = 2_048
SUBMITS_PER_PARTICIPANT_COUNT_MAX: Final = 16

# What a gateway takes at once (docs/admission.md states the worst case).
CONNECTIONS_COUNT_MAX: Final = 1_024
HANDSHAKE_MS_MAX: Final = 10_000
CALLS_COUNT_MAX: Final = 8_192
CALLS_PER_CERTIFICATE_COUNT_MAX: Final = 2_048
STREAMS_PER_CERTIFICATE_COUNT_MAX: Final = 32
DELIVERIES_PER_PARTICIPANT_COUNT_MAX: Final = 8
WATCHES_PER_PARTICIPANT_COUNT_MAX: Final = 8
BODIES_READ_PER_CERTIFICATE_COUNT_MAX: Final = 32
CALL_BODY_MS_MAX: Final = 15_000
JOURNALING_MS_MAX: Final = 14_000
SUBMIT_MS_MAX: Final = 15_000

# Reads.
READ_MS_MAX: Final = 5_000
READS_PER_PARTICIPANT_COUNT_MAX: Final = 512
CARD_QUESTION_COUNT_MAX: Final = 500
CARD_CACHE_COUNT_MAX: Final = 65_536
CARD_REMEMBERED_MS_MAX: Final = 600_000
CARD_ROW_READ_COUNT_MAX: Final = 2_000


def _check_relations() -> None:
    """Raise if the bounds contradict each other."""
    relations = {
        "EXECUTE_BEFORE_MS + LOCAL_CALL_MS < UNKNOWN_TIMER_MS": EXECUTE_BEFORE_MS + LOCAL_CALL_MS < UNKNOWN_TIMER_MS,
        "UNKNOWN_TIMER_MS < TYPED_CALL_MS": UNKNOWN_TIMER_MS < TYPED_CALL_MS,
        "TYPED_CALL_MS < ADAPTER_ANSWER_MS": TYPED_CALL_MS < ADAPTER_ANSWER_MS,
        "ADAPTER_ANSWER_MS < LOCAL_CALLER_MS": ADAPTER_ANSWER_MS < LOCAL_CALLER_MS,
        "HEADER + SIGNATURE fit the call's metadata": HEADER_BYTES_MAX + SIGNATURE_BLOCK_BYTES_MAX
        <= CALL_METADATA_BYTES_MAX,
        "an answer's metadata and what HTTP adds fit an ordinary client": CALL_TRAILING_BYTES_MAX + 512
        <= CLIENT_METADATA_BYTES_MAX,
        "MESSAGE_AGE_MS_MAX < OUTPUT_KEPT_MS": MESSAGE_AGE_MS_MAX < OUTPUT_KEPT_MS,
        "what left an inbox is kept among the outputs as long again": INBOX_KEPT_MS * 2 <= OUTPUT_KEPT_MS,
        "one caller does not take all places of a recipient": CALLS_HELD_PER_PARTICIPANT_COUNT_MAX
        < CALLS_HELD_PER_RECIPIENT_COUNT_MAX,
        "one recipient does not take all places of a gateway": CALLS_HELD_PER_RECIPIENT_COUNT_MAX
        < CALLS_HELD_COUNT_MAX,
        "a participant's calls, reads and batches fit its places": CALLS_HELD_PER_PARTICIPANT_COUNT_MAX
        + READS_PER_PARTICIPANT_COUNT_MAX
        + SUBMITS_PER_PARTICIPANT_COUNT_MAX
        < CALLS_PER_CERTIFICATE_COUNT_MAX,
        "one certificate does not take all places of a gateway": CALLS_PER_CERTIFICATE_COUNT_MAX
        + STREAMS_PER_CERTIFICATE_COUNT_MAX
        < CALLS_COUNT_MAX,
        "a participant's deliveries and watches fit its streams": DELIVERIES_PER_PARTICIPANT_COUNT_MAX
        + WATCHES_PER_PARTICIPANT_COUNT_MAX
        < STREAMS_PER_CERTIFICATE_COUNT_MAX,
        "a call learns that the journal is slow before its own end": JOURNALING_MS_MAX < TYPED_CALL_MS,
        "a batch learns that the journal is slow before its own end": JOURNALING_MS_MAX < SUBMIT_MS_MAX,
        "LEASE_RENEW_MS * 2 < LEASE_MS": LEASE_RENEW_MS * 2 < LEASE_MS,
        "the delays of a replacement's step grow": list(REPLACEMENT_RETRY_DELAYS_MS)
        == sorted(set(REPLACEMENT_RETRY_DELAYS_MS)),
        "a step is given up before its requests are forgotten": sum(REPLACEMENT_RETRY_DELAYS_MS)
        + (len(REPLACEMENT_RETRY_DELAYS_MS) + 1) * UNKNOWN_TIMER_MS
        < MESSAGE_AGE_MS_MAX,
        "TICK_MS < HUB_TIME_STALE_MS": TICK_MS < HUB_TIME_STALE_MS,
        "PARTITION_IDLE_TICK_MS * 3 < CARD_STALE_MS": PARTITION_IDLE_TICK_MS * 3 < CARD_STALE_MS,
        "one question of many persons fits a reading of rows": CARD_QUESTION_COUNT_MAX <= CARD_ROW_READ_COUNT_MAX,
        "one question of many persons fits the cache": CARD_QUESTION_COUNT_MAX * 2 <= CARD_CACHE_COUNT_MAX,
        "a receiver is away before its delivery ends": RECIPIENT_OFFLINE_MS < RECEIVER_SLOW_MS,
        "RECIPIENT_OFFLINE_MS > HUB_TIME_STALE_MS": RECIPIENT_OFFLINE_MS > HUB_TIME_STALE_MS,
    }
    broken = [name for name, holds in relations.items() if not holds]
    if broken:
        raise AssertionError("limits contradict each other: " + "; ".join(broken))


_check_relations()
