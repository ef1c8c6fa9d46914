"""The infno dialect: JSON over HTTP in the form of the national medical interface as hospitals and provinces use it."""
