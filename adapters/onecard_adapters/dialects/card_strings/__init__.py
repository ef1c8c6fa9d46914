"""`|`-separated card strings and the verbs of a card office in tags that are not XML, GBK over HTTP.

Forms: the samples of Henan, Jilin and of card drivers (tests/samples/card, tests/samples/delimited), lent to Guangxi,
whose only public form is its client's card info; docs/dialects/card-strings.md tells which is whose.
"""
