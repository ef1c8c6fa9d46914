"""How a drill is shown to a person: the bill and its split in yuan, the journey of each message, what was checked."""

from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onecard_protocol.china_time import shanghai_time
from onecard_protocol.explained import Language, Text
from onecard_stubs.scenarios.accounts import method_of
from onecard_stubs.scenarios.result import ScenarioResult, Shown, same

_LEVELS: Final = {
    "01": Text(en="A", zh="甲类"),
    "02": Text(en="B", zh="乙类"),
    "03": Text(en="C", zh="丙类"),
}
_CLASSES: Final = {
    "01": Text(en="bed", zh="床位费"),
    "02": Text(en="consultation", zh="诊察费"),
    "03": Text(en="examination", zh="检查费"),
    "04": Text(en="laboratory", zh="化验费"),
    "05": Text(en="treatment", zh="治疗费"),
    "06": Text(en="surgery", zh="手术费"),
    "07": Text(en="nursing", zh="护理费"),
    "08": Text(en="materials", zh="卫生材料费"),
    "09": Text(en="western medicine", zh="西药费"),
    "10": Text(en="herbal pieces", zh="中药饮片费"),
    "11": Text(en="Chinese patent medicine", zh="中成药费"),
    "12": Text(en="general treatment fee", zh="一般诊疗费"),
    "13": Text(en="registration", zh="挂号费"),
    "14": Text(en="other", zh="其他费"),
}
_PURPOSES: Final = {
    "ReportFiling": Text(en="filing, told by Sichuan", zh="备案（四川告知）"),
    "QueryCoverage": Text(en="who is the patient (1101)", zh="人员信息（1101）"),
    "Register": Text(en="admission (2401)", zh="入院登记（2401）"),
    "UploadFeeLines": Text(en="fee lines (2301)", zh="费用明细（2301）"),
    "PreSettle": Text(en="pre-settlement (2303)", zh="预结算（2303）"),
    "Discharge": Text(en="discharge (2402)", zh="出院（2402）"),
    "Settle": Text(en="settlement (2304)", zh="结算（2304）"),
    "CancelSettlement": Text(en="cancellation (2305)", zh="结算撤销（2305）"),
    "ReportSocialChange": Text(en="change of a card", zh="社保应用变更"),
    "ReportFinancialChange": Text(en="change of an account", zh="金融账户变更"),
    "CarryOutStep": Text(en="a step of the replacement", zh="换卡步骤"),
    "ConfirmBenefitAccount": Text(en="the benefit account is confirmed", zh="待遇账户确认"),
}
"""What a message of a drill is for, by its method."""


def yuan(amount_fen: int) -> str:
    """An amount in yuan with two decimals: 123456 fen are 1,234.56."""
    sign, amount = ("-", -amount_fen) if amount_fen < 0 else ("", amount_fen)
    return f"{sign}{amount // 100:,}.{amount % 100:02d}"


def show(result: ScenarioResult, console: Console, language: Language) -> None:
    """Print the whole result."""
    if result.patient:
        console.print(Text(en=f"\nPatient: {result.patient}", zh=f"\n患者：{result.patient}").of(language))
    if result.bill:
        console.print(_bill(result, language))
    if result.split:
        console.print(_split(result, language))
    for shown in result.tables:
        console.print(_shown(shown, language))
    console.print(_journeys(result, language))
    for check in result.checks:
        mark = "[green]✓[/]" if check.holds else "[bold red]✗[/]"
        found = f"  [dim]{escape(check.found)}[/]" if check.found else ""
        console.print(f"{mark} {escape(check.what.of(language))}{found}")
    accounts = result.accounts
    figures = {
        Text(en="messages", zh="报文"): len(accounts.journaled),
        Text(en="rejected", zh="拒绝"): len(accounts.rejected),
        Text(en="unknown", zh="未知"): len(accounts.unknown),
        Text(en="lost", zh="丢失"): len(accounts.lost),
        Text(en="doubled", zh="重复"): len(accounts.doubled),
    }
    line = "   ".join(f"{name.of(language)} [bold]{count}[/]" for name, count in figures.items())
    console.print(f"\n{line}   {result.duration_ms / 1000:.1f} s\n")


def _shown(shown: Shown, language: Language) -> Table:
    table = Table(
        title=shown.title.of(language), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1)
    )
    for column in shown.columns:
        table.add_column(column.of(language), overflow="fold")
    for row in shown.rows:
        table.add_row(*(escape(cell.of(language)) for cell in row))
    return table


def _bill(result: ScenarioResult, language: Language) -> Table:
    titles = (
        ("项目类别", "笔数", "金额", "全自费", "超限价", "先行自付", "符合范围")
        if language == "zh"
        else ("class, level", "lines", "amount", "self-paid", "over cap", "co-pay", "in scope")
    )
    title = "住院费用（元）" if language == "zh" else "The bill of the stay (yuan)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index else "left", overflow="fold")
    for row in result.bill:
        fee_class, level = _CLASSES.get(row.fee_class), _LEVELS.get(row.level)
        table.add_row(
            f"{row.fee_class if fee_class is None else fee_class.of(language)}"
            f"{'，' if language == 'zh' else ', '}{row.level if level is None else level.of(language)}",
            str(row.line_count),
            *map(yuan, (row.total_fen, row.full_self_pay_fen, row.over_limit_fen, row.preceding_fen, row.in_scope_fen)),
        )
    table.add_section()
    table.add_row(
        "合计" if language == "zh" else "total",
        str(sum(row.line_count for row in result.bill)),
        yuan(sum(row.total_fen for row in result.bill)),
        yuan(sum(row.full_self_pay_fen for row in result.bill)),
        yuan(sum(row.over_limit_fen for row in result.bill)),
        yuan(sum(row.preceding_fen for row in result.bill)),
        yuan(sum(row.in_scope_fen for row in result.bill)),
        style="bold",
    )
    return table


def _split(result: ScenarioResult, language: Language) -> Table:
    title = "由参保地四川计算的分担（元）" if language == "zh" else "Who pays, as Sichuan computed it (yuan)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("")
    table.add_column("预结算" if language == "zh" else "pre-settled", justify="right")
    table.add_column("结算" if language == "zh" else "settled", justify="right")
    for row in result.split:
        table.add_row(
            row.name.of(language), yuan(row.trial_fen), yuan(row.settled_fen), style="bold" if row.is_sum else None
        )
    return table


def _journeys(result: ScenarioResult, language: Language) -> Table:
    """A row a request: its own way to the recipient's inbox, and its answer's way back; times are from its creation."""
    zh = language == "zh"
    table = Table(
        title="每条报文的全程（时间自签发起算）" if zh else "The journey of each message (times since it was made)",
        title_justify="left",
        show_lines=True,
    )
    table.add_column("步骤" if zh else "step", overflow="fold")
    table.add_column("请求" if zh else "request", no_wrap=True)
    table.add_column("应答" if zh else "answer", no_wrap=True)
    for story in result.accounts.stories:
        name = method_of(story)
        purpose = _PURPOSES.get(name, same(name))
        answers = "\n".join(_leg(answer, story["created_ms"], language) for answer in story["answers"])
        step = f"[bold]{escape(purpose.of(language))}[/]\n[dim]{story['id'][:8]}…{story['id'][-4:]}[/]"
        table.add_row(step, _leg(story, story["created_ms"], language), answers or "[dim]—[/]")
    return table


def _leg(story: dict[str, Any], start_ms: int, language: Language) -> str:
    """One message: signed by whom, where in the journal, under which number in whose inbox."""
    zh = language == "zh"
    created_ms = story["created_ms"]
    when = _clock(created_ms) if created_ms == start_ms else _after(created_ms, start_ms)
    lines = [f"{story['sender']} → {story['recipient']} {when}", _verdict(story["signature"], language)]
    if story["kind"] not in {"request", "event", "reply"}:
        reason = str(story["payload"].get("reason", "")).removeprefix("ERROR_REASON_")
        lines.insert(1, f"[yellow]{story['kind']} {escape(reason)}[/]")
    place = story["journal"]
    if place is not None:
        name = "流水" if zh else "journal"
        at = f"{place['partition']}:{place['position']}"
        lines.append(f"{name} {at} {_after(place['append_time_ms'], start_ms)}")
    for delivered in story["deliveries"]:
        if delivered["appended_ms"] is not None:
            name = "收件箱" if zh else "inbox"
            number = f"{delivered['recipient']} {delivered['partition']}:{delivered['number']}"
            lines.append(f"{name} {number} {_after(delivered['appended_ms'], start_ms)}")
    return "\n".join(lines)


def _after(time_ms: int, start_ms: int) -> str:
    return f"[cyan]+{time_ms - start_ms} ms[/]"


def _verdict(check: dict[str, Any], language: Language) -> str:
    if not check["is_good"]:
        return "[bold red]✗ SM2 签名无效[/]" if language == "zh" else "[bold red]✗ SM2 signature fails[/]"
    batch = check["batch"]
    if language == "zh":
        return "[green]✓ SM2 签名有效[/]" + ("" if batch is None else f"（批量 {batch[1]}）")
    return "[green]✓ SM2 signature[/]" + ("" if batch is None else f" (batch of {batch[1]})")


def _clock(time_ms: int) -> str:
    return shanghai_time(time_ms).strftime("%H:%M:%S.%f")[:-3]
