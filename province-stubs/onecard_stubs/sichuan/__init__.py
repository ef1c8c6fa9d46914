"""Sichuan's local systems: a core and a hospital that speak the Guangdong cross-region form, lent to them."""
