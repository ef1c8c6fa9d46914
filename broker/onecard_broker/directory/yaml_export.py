"""The present directory as the YAML file that it can be imported from again, to be changed and reviewed."""

from __future__ import annotations

from typing import Any, Final

import yaml

from onecard_broker.directory.model import Directory, Feed, Key, Participant
from onecard_protocol.china_time import shanghai_time

EXPLANATION: Final = """\
# Directory of a OneCard network: who takes part, with which keys, and what each may send and receive.
# Change it, have it reviewed, then: onecard directory import FILE --config hub.yaml
# What the file no longer names loses its rights; a valid key that is missing is revoked.
# 目录文件：参与方、密钥和权限。修改并复核后导入；文件中删去的参与方失去权限，删去的有效密钥被吊销。
"""

_EXAMPLE: Final = """\
#   cn-44:
#     name_zh: 广东
#     name_en: Guangdong
#     certificate_names: [cn-44.example.cn]     # DNS names of its client certificates
#     may_send: [/onecard.medical.v1.*]          # methods, or all of a package
#     may_receive: [/onecard.medical.v1.*]
#     maintenance: {start: 2026-10-01T00:00:00+08:00, end: 2026-10-01T04:00:00+08:00}   # optional
#     feeds: [{package: onecard.card.v1, residents_of: [cn-45]}]   # optional; or everything: true
#     keys:
#       - id: cn-44-2026-1
#         public_key: "04…"                      # as `onecard keys show` prints it
#         not_before: 2026-01-01T00:00:00+08:00
#         not_after: 2027-01-01T00:00:00+08:00
#         revoked: {at: 2026-06-01T00:00:00+08:00, cause: lost}                          # optional
"""


def to_yaml(directory: Directory, network: str) -> str:
    """The file; with an example in comments where the directory is empty."""
    if not directory.participants:
        return f"{EXPLANATION}network: {network}\nparticipants: {{}}\n{_EXAMPLE}"
    content = {
        "network": network,
        "participants": {
            entry.id: _participant(entry, directory) for _, entry in sorted(directory.participants.items())
        },
    }
    return EXPLANATION + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120)


def _participant(entry: Participant, directory: Directory) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name_zh": entry.name_zh,
        "name_en": entry.name_en,
        "certificate_names": sorted(entry.certificate_names),
        "may_send": list(entry.may_send.texts),
        "may_receive": list(entry.may_receive.texts),
    }
    if entry.maintenance is not None:
        start_ms, end_ms = entry.maintenance
        content["maintenance"] = {"start": _instant(start_ms), "end": _instant(end_ms)}
    if entry.feeds:
        content["feeds"] = [_feed(feed) for feed in entry.feeds]
    content["keys"] = [_key(key) for key in directory.keys_of(entry.id)]
    return content


def _feed(feed: Feed) -> dict[str, Any]:
    content: dict[str, Any] = {"package": feed.package}
    if feed.has_everything:
        content["everything"] = True
    if feed.residents_of:
        content["residents_of"] = sorted(feed.residents_of)
    return content


def _key(key: Key) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": key.key_id,
        "public_key": key.public_key.hex(),
        "not_before": _instant(key.not_before_ms),
        "not_after": _instant(key.not_after_ms),
    }
    if key.revoked_ms is not None:
        content["revoked"] = {"at": _instant(key.revoked_ms), "cause": key.revocation_cause}
    return content


def _instant(time_ms: int) -> str:
    return instant_text(time_ms, precision="milliseconds" if time_ms % 1000 else "seconds")


def instant_text(time_ms: int, *, precision: str = "seconds") -> str:
    """ms since 1970 as ISO 8601 in the time of Beijing."""
    return shanghai_time(time_ms).isoformat(timespec=precision)
