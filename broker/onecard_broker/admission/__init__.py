"""Admission: what is checked of a message before it enters the journal."""
