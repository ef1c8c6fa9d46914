"""The log on Apache Kafka: records through aiokafka, topics through kafka-python (docs/adr/0004)."""

import asyncio
import importlib.util
from collections.abc import Hashable, Mapping, Sequence

from aiokafka.util import NO_EXTENSIONS

from onecard_broker.log.kafka_appender import KafkaAppender
from onecard_broker.log.kafka_reader import KafkaReader
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.kafka_tail import KafkaTail
from onecard_broker.log.kafka_topics import KafkaTopics, TopicIdentity
from onecard_broker.log.port import Appended, ForeignEpoch, LogMisconfigured, Reader, Record, TopicSpec


class KafkaLog:
    """A `Log` on Kafka topics; its epoch is the identity that Kafka gave the journal topic when it was made."""

    def __init__(
        self,
        settings: KafkaSettings,
        partition_count: int,
        epoch_topic: str,
        identity: TopicIdentity | None,
        topics: KafkaTopics,
        appender: KafkaAppender,
    ) -> None:
        """Use `open`."""
        self._settings = settings
        self._partition_count = partition_count
        self._epoch_topic = epoch_topic
        self._identity = identity
        self._topics = topics
        self._appender = appender
        self._readers: set[KafkaReader] = set()
        self._tail = KafkaTail(settings)
        self._closed = False

    @classmethod
    async def open(
        cls,
        settings: KafkaSettings,
        *,
        partition_count: int = 96,
        epoch_topic: str = "onecard.journal",
        gathers: bool = False,
    ) -> "KafkaLog":
        """Open the log; the topics need not exist yet (`ensure_topics`).

        Where it `gathers`, what many callers append one by one is sent together, `linger_ms` apart and more.

        Raises LogMisconfigured when the compiled record codec is not installed, LogUnavailable when Kafka
        does not answer.
        """
        check_native_codec()
        topics = KafkaTopics(settings)
        try:
            identity = await topics.identity(epoch_topic)
        except BaseException:
            await topics.close()
            raise
        return cls(settings, partition_count, epoch_topic, identity, topics, KafkaAppender(settings, gathers=gathers))

    @property
    def epoch(self) -> str:
        """Identity of the journal topic; raises LogMisconfigured while there is none."""
        if self._identity is None:
            name = self._settings.topic_prefix + self._epoch_topic
            raise LogMisconfigured(f"Kafka has no topic {name}; `onecard hub topics` makes it")
        return self._identity.topic_id

    @property
    def partition_count(self) -> int:
        """Number of partitions of the journal and of each inbox."""
        return self._partition_count

    @property
    def made_partition_count(self) -> int | None:
        """Number of partitions of the journal topic; see `Log.made_partition_count`."""
        return None if self._identity is None else self._identity.partition_count

    @property
    def gathering_s(self) -> float:
        """See `Log.gathering_s`."""
        return self._appender.gathering_s

    def coming(self, what: Hashable, *, within_s: float | None = None) -> None:
        """See `Log.coming`."""
        self._appender.coming(what, within_s=within_s)

    def came(self, what: Hashable) -> None:
        """See `Log.came`."""
        self._appender.came(what)

    async def append(self, records: Sequence[Record]) -> list[Appended]:
        """Append records; see `Log.append`."""
        return await self._appender.in_flight.run(records)

    def open_reader(self, topic: str, positions: Mapping[int, int]) -> Reader:
        """Return a reader; see `Log.open_reader`."""
        reader = KafkaReader(
            topic=topic,
            positions=positions,
            settings=self._settings,
            tail=self._tail,
            closed=self._readers.discard,
        )
        self._readers.add(reader)
        return reader

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return first kept position and end by partition; see `Log.bounds`."""
        return await self._topics.bounds(topic)

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create and check topics; see `Log.ensure_topics`."""
        await self._topics.ensure(topics)
        self._identity = await self._topics.identity(self._epoch_topic)

    async def apply_retention(self) -> None:
        """The brokers do it by the topics' configuration; see `Log.apply_retention`."""

    def check_epoch(self, epoch: str) -> None:
        """Raise ForeignEpoch unless `epoch` is this log's."""
        if epoch != self.epoch:
            raise ForeignEpoch(self.epoch, epoch)

    async def close(self) -> None:
        """Finish what is in flight and close every client."""
        if self._closed:
            return
        self._closed = True
        await self._appender.close()
        await asyncio.gather(*(reader.close() for reader in list(self._readers)))
        await self._tail.close()
        await self._topics.close()


def check_native_codec() -> None:
    """Raise LogMisconfigured where aiokafka would write and read records in Python, many times slower."""
    if NO_EXTENSIONS or importlib.util.find_spec("aiokafka.record._crecords.default_records") is None:
        raise LogMisconfigured(
            "the Kafka log needs aiokafka with its compiled record codec: install onecard with the extra `hub` from a"
            " wheel, and leave AIOKAFKA_NO_EXTENSIONS unset"
        )
