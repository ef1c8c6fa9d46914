"""A country on one machine without root and without containers: engines, hub, adapters and local systems."""
