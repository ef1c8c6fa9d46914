"""A province's or bank's cards: what is common to all card offices, whatever their dialect."""
