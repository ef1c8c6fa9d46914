"""The people of a province: who they are, their card, and how they are insured."""

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from onecard_stubs.population import numbers

_FAMILY_NAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN_NAMES = (
    "小明 小红 秀英 建国 志强 桂兰 丽华 海燕 文静 子涵 俊杰 晓东 玉珍 春梅 国庆 雪松 天佑 思远 佳怡 浩然 婷 磊 敏 静 伟"
).split()

NAMES_WITH_RARE_CHARACTERS = ("陈㼆", "刘𬱖", "陈𬭼", "张㛃")
"""Names with a character that GBK cannot carry. People bear them in `Population.rare_named` only."""

_FIRST_BIRTHDAY = date(1940, 1, 1)
_BIRTHDAY_SPAN_DAYS = 24_000
_INSURANCE_AREA_SUFFIXES = ("0100", "0300", "0199")


class EnrolmentStatus(enum.Enum):
    """Whether an enrolment counts; the values are those of psn_insu_stas."""

    ACTIVE = "1"
    PAUSED = "2"
    ENDED = "4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """One enrolment (insuinfo). One person has several; none of them is "the" one."""

    insurance_kind: str
    """insutype: 310 employees, 390 residents."""
    status: EnrolmentStatus
    person_class: str
    """psn_type: 1101 at work, 1102 civil servant, 1201 retired, 1501 adult resident, 1405 student."""
    insurance_area: str
    account_balance_fen: int
    first_day: date
    last_day: date | None
    employer_name: str
    is_civil_servant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An invented person."""

    identity_number: str
    name: str
    sex: str
    """gend: 1 man, 2 woman."""
    birth_day: date
    ethnicity: str
    telephone: str
    address: str
    personal_number: str
    card_number: str
    card_recognition_code: str
    bank_card_number: str
    enrolments: tuple[Enrolment, ...]

    @property
    def active_enrolments(self) -> tuple[Enrolment, ...]:
        """The enrolments that count."""
        return tuple(enrolment for enrolment in self.enrolments if enrolment.status is EnrolmentStatus.ACTIVE)


class Population:
    """`count` people of a province, and a few whose names GBK cannot carry; the same seed gives the same people."""

    def __init__(self, province_area: str = "510000", seed: int = 1, count: int = 200) -> None:
        self.province_area = province_area
        maker = _PersonMaker(province_area, seed)
        self.people: tuple[Person, ...] = tuple(maker.make(index) for index in range(1, count + 1))
        self.rare_named: tuple[Person, ...] = tuple(
            maker.make(count + 1 + offset, name=name) for offset, name in enumerate(NAMES_WITH_RARE_CHARACTERS)
        )
        everyone = (*self.people, *self.rare_named)
        self._by_identity_number = {person.identity_number: person for person in everyone}
        self._by_personal_number = {person.personal_number: person for person in everyone}
        self._by_card_number = {person.card_number: person for person in everyone}

    def __len__(self) -> int:
        return len(self.people)

    def __iter__(self) -> Iterator[Person]:
        return iter(self.people)

    def by_identity_number(self, number: str) -> Person | None:
        """The person of this citizen's number; x counts as X."""
        return self._by_identity_number.get(number.strip().upper())

    def by_personal_number(self, number: str) -> Person | None:
        """The person of this personal number."""
        return self._by_personal_number.get(number)

    def by_card_number(self, number: str) -> Person | None:
        """The holder of this card."""
        return self._by_card_number.get(number)


class _PersonMaker:
    def __init__(self, province_area: str, seed: int) -> None:
        self._province_area = province_area
        # A population must be the same on every run; nothing here is a secret.
        self._random = random.Random(f"{province_area}/{seed}")
        self._areas = tuple(province_area[:2] + suffix for suffix in _INSURANCE_AREA_SUFFIXES)

    def make(self, index: int, name: str | None = None) -> Person:
        # Each person has a birthday and serial of their own, so that no two numbers are the same.
        day_offset, serial = divmod(index * 7919, numbers.SERIALS_PER_DAY)
        birth_day = _FIRST_BIRTHDAY + timedelta(days=day_offset % _BIRTHDAY_SPAN_DAYS)
        choose = self._random.choice
        area = choose(self._areas)
        drawn_name = choose(_FAMILY_NAMES) + choose(_GIVEN_NAMES)
        return Person(
            identity_number=numbers.identity_number(self._province_area, birth_day, serial),
            name=name or drawn_name,
            sex="1" if serial % 2 else "2",
            birth_day=birth_day,
            ethnicity=choose(("01", "01", "01", "01", "07", "09")),
            telephone=f"100{index:08d}",
            address=f"示例省示例市示例路{index}号",
            personal_number=numbers.personal_number(self._province_area, index),
            card_number=numbers.card_number(index),
            card_recognition_code=numbers.recognition_code(area, index),
            bank_card_number=numbers.bank_card_number(index),
            enrolments=self._enrolments(birth_day, area),
        )

    def _enrolments(self, birth_day: date, area: str) -> tuple[Enrolment, ...]:
        draw = self._random.random
        is_employee = draw() < 0.6
        is_retired = birth_day < date(1964, 1, 1)
        is_civil_servant = is_employee and not is_retired and draw() < 0.15
        resident_class = "1405" if birth_day > date(2003, 1, 1) else "1501"
        employee_class = "1201" if is_retired else "1102" if is_civil_servant else "1101"
        first_day = date(self._random.randint(2005, 2018), self._random.randint(1, 12), 1)
        main = Enrolment(
            insurance_kind="310" if is_employee else "390",
            status=EnrolmentStatus.ACTIVE,
            person_class=employee_class if is_employee else resident_class,
            insurance_area=area,
            account_balance_fen=self._random.randint(0, 2_000_000) if is_employee else 0,
            first_day=first_day,
            last_day=None,
            employer_name="示例单位" if is_employee else "",
            is_civil_servant=is_civil_servant,
        )
        return (*self._earlier_enrolments(main), main)

    def _earlier_enrolments(self, main: Enrolment) -> tuple[Enrolment, ...]:
        """What a life leaves behind: a paused enrolment elsewhere, another kind of insurance still active."""
        earlier = []
        if self._random.random() < 0.4:
            earlier.append(
                Enrolment(
                    insurance_kind="310",
                    status=EnrolmentStatus.PAUSED,
                    person_class="1101",
                    insurance_area=self._random.choice([area for area in self._areas if area != main.insurance_area]),
                    account_balance_fen=self._random.randint(0, 50_000),
                    first_day=main.first_day - timedelta(days=2_000),
                    last_day=main.first_day - timedelta(days=1),
                    employer_name="示例单位二",
                    is_civil_servant=False,
                )
            )
        if main.insurance_kind == "310" and self._random.random() < 0.1:
            earlier.append(
                Enrolment(
                    insurance_kind="390",
                    status=EnrolmentStatus.ACTIVE,
                    person_class="1501",
                    insurance_area=main.insurance_area,
                    account_balance_fen=0,
                    first_day=main.first_day - timedelta(days=400),
                    last_day=None,
                    employer_name="",
                    is_civil_servant=False,
                )
            )
        return tuple(earlier)
