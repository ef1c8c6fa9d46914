"""Commands of the local systems: stubs, drills and the country on one machine."""
