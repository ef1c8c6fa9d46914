"""A bank's instant-issue point (即时制卡网点): a new card in the holder's hand, verb by verb, in one visit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from onecard_stubs.guangxi import records, wire
from onecard_stubs.population import Person, numbers

SUCCESSES: Final = frozenset({"00", "01", "OK"})
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "henan": (
        *(
            "序号",
            "社保卡号",
            "社会保障号码",
            "姓名",
            "制卡日期",
            "有效期至",
            "卡识别码",
            "卡复位码",
            "个人帐户",
            "银行卡号",
        ),
        *("金融帐户", "装箱位置", "失败环节", "失败原因"),
    ),
    "jilin": (
        *(
            "序号",
            "社保卡号",
            "社会保障号码",
            "姓名",
            "发卡日期",
            "卡有效期",
            "卡识别码",
            "卡复位码",
            "服务银行",
            "银行卡号",
        ),
        *("个人帐户", "装箱位置", "失败环节(银行/制卡)", "失败原因(50字节内)"),
    ),
}
"""The return file's columns in the order of each sample."""

_CITY: Final = "450300"
_BANK: Final = "95588"
_USER: Final = {"用户名": "POINT", "密码": "PASS"}
_STARRED: Final = ("操作", "用户名", "密码", "城市代码", "社会保障卡卡号", "社会保障号码", "姓名", "批次号", "人数")


@dataclass(slots=True, kw_only=True)
class Reissue:
    """What came of it."""

    card_number: str = ""
    recognition_code: str = ""
    steps: dict[str, str] = field(default_factory=dict)
    """ERR of each verb, in order."""


class InstantIssuePoint:
    """Asks an office, or the adapter in front of it."""

    def __init__(self, url: str, *, columns: str = "jilin") -> None:
        self._url = url
        self._columns = COLUMNS[columns]

    async def reissue(self, person: Person, *, old_card: str) -> Reissue:
        """A new card for a lost one; a verb that is refused ends it, except the last, which the office repeats."""
        done = Reissue()
        holder = {
            "城市代码": _CITY,
            "社会保障卡卡号": old_card,
            "社会保障号码": person.identity_number,
            "姓名": person.name,
        }
        point = {"城市代码": _CITY, "所属区县": "450302", "服务银行": _BANK, "卡商": "3"}
        who = {"序号": "1", "社会保障号码": person.identity_number, "姓名": person.name}
        await self._do(done, "正式挂失", holder)
        await self._do(done, "即时制卡标注", holder)
        await self._do(
            done,
            "申请社保卡",
            {
                "城市代码": _CITY,
                "服务银行": _BANK,
                "证件类型": "1",
                "证件号码": person.identity_number,
                "姓名": person.name,
                "性别": person.sex,
                "民族": person.ethnicity,
                "出生日期": f"{person.birth_day:%Y%m%d}",
                "办卡类型": "2",
            },
        )
        batch = (await self._do(done, "获取批次号", point)).values["批次号"]
        made = await self._do(done, "即制卡批次", {**point, "批次号": batch, "人数": "1"}, [who])
        done.card_number = made.lines[0]["社保卡号"]
        await self._do(done, "即制卡数据", {"批次号": batch, "社会保障号码": person.identity_number})
        done.recognition_code = numbers.recognition_code(_CITY, int(done.card_number[1:]))
        await self._do(done, "即制卡回盘", {"批次号": batch, "人数": "1"}, [self._line(done, person)])
        await self._do(done, "领卡启用", {**holder, "社会保障卡卡号": done.card_number}, may_fail=True)
        return done

    def _line(self, done: Reissue, person: Person) -> dict[str, str]:
        today = f"{records.now():%Y%m%d}"
        filled = {
            "序号": "1",
            "社保卡号": done.card_number,
            "社会保障号码": person.identity_number,
            "姓名": person.name,
            "制卡日期": today,
            "发卡日期": today,
            "卡识别码": done.recognition_code,
            "卡复位码": "008100000000000099000001",
            "服务银行": _BANK,
            "银行卡号": numbers.bank_card_number(int(done.card_number[1:])),
            "装箱位置": "1-1-1-1",
        }
        return {column: filled.get(column, "") for column in self._columns}

    async def _do(
        self,
        done: Reissue,
        verb: str,
        values: Mapping[str, str],
        lines: Sequence[Mapping[str, str]] = (),
        *,
        may_fail: bool = False,
    ) -> wire.Text:
        body = wire.write({"操作": verb, **_USER, **values}, lines, starred=_STARRED)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.post(self._url, data=body, headers={"Content-Type": wire.CONTENT_TYPE}) as response,
        ):
            answer = wire.read(await response.read())
        done.steps[verb] = answer.values.get("ERR", answer.word)
        if done.steps[verb] not in SUCCESSES and not may_fail:
            raise ValueError(f"{verb}: {done.steps[verb]}")
        return answer
