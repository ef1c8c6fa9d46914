"""Drills: who does what, and what must then be true. Each runs against a country that is up."""
