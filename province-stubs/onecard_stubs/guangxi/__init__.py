"""Guangxi's card office, a counter in Guilin, and an instant-issue point; the forms are lent from Henan and Jilin."""
