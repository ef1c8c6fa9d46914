"""The drills by name."""

from typing import Final

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text
from onecard_stubs.scenarios.card_lost import CARD_LOST
from onecard_stubs.scenarios.card_replaced import CARD_REPLACED
from onecard_stubs.scenarios.medical import MEDICAL
from onecard_stubs.scenarios.result import Scenario

SCENARIOS: Final[dict[str, Scenario]] = {scenario.name: scenario for scenario in (MEDICAL, CARD_LOST, CARD_REPLACED)}


def find_scenario(name: str) -> Scenario:
    """The drill of a name; raises Explained if there is none."""
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise Explained(
            Explanation(
                what=Text(en=f"There is no scenario {name!r}.", zh=f"没有名为 {name} 的演练。"),
                remedy=Text(en=f"Take one of {', '.join(SCENARIOS)}.", zh=f"可选：{'、'.join(SCENARIOS)}。"),
                exit_code=ExitCode.USAGE,
            )
        )
    return scenario
