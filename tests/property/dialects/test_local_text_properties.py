"""However a number of a person or card is grouped, nothing of it leaves; what a cashier needs stays."""

from datetime import date, datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from onecard_adapters.dialects.local_text import masked

_FULL_WIDTH = str.maketrans({code - 0xFEE0: code for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0) != ","})

_MARKS = [" ", "-", "  ", " - ", ".", "/", ",", "_", "·", "\u3000", "\u00a0", "－", "—", "–", "−", "．", "\u200b", "\n"]
_NUMBERS = st.one_of(
    # The first figure is none of a day's year.
    st.from_regex(r"[3-9]\d{8,18}", fullmatch=True),
    st.from_regex(r"[3-9]\d{16}[\dXx]", fullmatch=True),
    st.from_regex(r"[3-9]\d{5}\*{8}\d{3}[\dX]", fullmatch=True),
    st.from_regex(r"[A-Z]{1,3}\d{7,10}", fullmatch=True),
).map(lambda number: number.translate({ord(digit): str(int(digit)) for digit in number if digit.isdecimal()}))


@st.composite
def _grouped(draw: st.DrawFn) -> str:
    number, mark = draw(_NUMBERS), draw(st.sampled_from(_MARKS))
    letters = sum(character.isalpha() for character in number[:3])
    cuts = sorted(draw(st.sets(st.integers(letters + 1, len(number) - 1), max_size=6)))
    groups = [number[start:end] for start, end in zip([0, *cuts], [*cuts, len(number)], strict=True)]
    # A whole number with some more beside it is masked by itself; two groups with a dot, and threes with commas, are
    # amounts.
    assume(not cuts or all(len(group) < 15 for group in groups))
    assume(mark not in {".", ","} or len(groups) > 3)
    return mark.join(groups)


_AMOUNTS = st.builds("{}.{:02}".format, st.integers(0, 9_999_999), st.integers(0, 99))
_DAYS = st.builds(datetime.combine, st.dates(date(1900, 1, 1), date(2099, 12, 31)), st.times())
_NEEDED = st.one_of(
    _AMOUNTS,
    st.builds("{:,}.{:02}".format, st.integers(0, 999_999_999), st.integers(0, 99)),
    st.integers(-9_999_999, 9_999_999).map(str),
    st.builds("{:%Y-%m-%d}".format, _DAYS),
    st.builds("{:%Y/%m/%d %H:%M:%S}".format, _DAYS),
    st.builds("{:%Y-%m-%dT%H:%M:%S.%f+08:00}".format, _DAYS),
    st.builds("{:%Y年%m月%d日 %H:%M}".format, _DAYS),
    st.lists(_AMOUNTS, min_size=1, max_size=6).map(" ".join),
    st.tuples(st.builds("{:%Y-%m-%d}".format, _DAYS), _AMOUNTS).map(" ".join),
)


@given(_grouped(), st.booleans())
def test_a_grouped_number_is_masked_whole(number: str, is_full_width: bool) -> None:
    shown = number.translate(_FULL_WIDTH) if is_full_width else number
    assert masked(f"参保人{shown}不符") == "参保人***不符"


@given(_NEEDED)
def test_what_a_cashier_needs_stays(text: str) -> None:
    assert masked(f"共{text}，见说明") == f"共{text}，见说明"


@given(_grouped(), _NEEDED)
def test_what_stands_elsewhere_in_the_sentence_changes_nothing(number: str, needed: str) -> None:
    assert masked(f"{needed}：参保人{number}不符，{needed}") == f"{needed}：参保人***不符，{needed}"
