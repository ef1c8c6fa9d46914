"""`onecard card`: what the registry holds of a person's cards, and what is done about it."""

from __future__ import annotations

from typing import Final

import typer

from onecard_broker.commands import card_again, card_drift, card_link, card_load, card_sagas, card_show

app: Final = typer.Typer(
    no_args_is_help=True, help="The registry of cards: a person's cards and numbers, replacements, load, find drift."
)


@app.callback()
def card() -> None:
    """Registry of cards."""


app.command("show")(card_show.show)
app.command("saga")(card_show.saga)
app.command("sagas")(card_sagas.sagas)
app.command("ask-again")(card_again.ask_again)
app.command("link")(card_link.link)
app.command("unlink")(card_link.unlink)
app.command("drift")(card_drift.drift)
app.command("cases")(card_drift.cases)
app.command("load")(card_load.load)
