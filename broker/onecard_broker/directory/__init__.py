"""The directory: participants, their keys and what each may send and receive (rule 15)."""
