"""`onecard demo`: a Guangdong hospital settles a Sichuan patient's bill, on this machine, in seconds."""

import asyncio
from typing import Final

import typer

from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.dev.session import run_country
from onecard_stubs.scenarios.registry import find_scenario

app: Final = typer.Typer(help="A Guangdong hospital settles a Sichuan patient's bill, on this machine.")


@app.command()
def demo() -> None:
    """Start a country of two provinces, run the medical scenario, show it, and end everything."""
    code = asyncio.run(
        run_country(
            CountryPlan(),
            directory=None,
            keep=False,
            scenario=find_scenario("medical"),
            as_json=False,
            is_demo=True,
        )
    )
    raise typer.Exit(code)
