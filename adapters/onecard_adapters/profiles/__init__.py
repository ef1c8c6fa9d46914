"""Profiles of provinces: validated settings, code tables, and the YAML files themselves."""
