"""Records of both logs are CloudEvents: read back by the `cloudevents` SDK."""

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from onecard_broker.log.cloud_events import CloudEvent, decode, encode
from onecard_broker.log.port import Log
from tests.support.logs import JOURNAL

pytest_plugins = ("tests.support.engines",)

EVENT = CloudEvent(
    id="019a2f6c00007000800000000000abcd",
    source="/onecard/cn-44",
    type="onecard.message.v1",
    time_ms=1_790_000_000_123,
    subject="/onecard.medical.v1.SettlementService/Settle",
    extensions={"admitted": "1790000000123", "dirversion": "7"},
    header=bytes(range(256)),
    signature=b"\xff" * 64,
    data=b"\x08\x01\xff",
    content_type="application/protobuf",
)


async def test_the_cloudevents_sdk_reads_a_record_of_the_log(log: Log) -> None:
    await log.append([encode(topic=JOURNAL, partition=2, key=b"0f3a", event=EVENT)])
    [record] = await log.open_reader(JOURNAL, {2: 0}).read(10, 1_000_000, 20_000)

    # With every header as it stands in the log, the signed ones included.
    read = from_binary_event(KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value))

    assert (read.get_specversion(), read.get_id(), read.get_source(), read.get_type()) == (
        "1.0",
        EVENT.id,
        EVENT.source,
        EVENT.type,
    )
    assert read.get_subject() == EVENT.subject
    assert read.get_datacontenttype() == EVENT.content_type
    time = read.get_time()
    assert time is not None
    assert round(time.timestamp() * 1000) == EVENT.time_ms
    assert (read.get_extension("admitted"), read.get_extension("dirversion")) == ("1790000000123", "7")
    assert read.get_extension("partitionkey") == "0f3a"
    assert read.get_data() == EVENT.data
    assert decode(record) == EVENT
