"""SM2 signatures with SM3 over fixed bytes, alone or by the batch, and the keys that make them.

Owns what is signed, how it is checked and how private keys rest. Knows nothing of participants, validity windows or
revocation: those are the directory's, and are judged for every message beside the check made here.
"""
