"""What the bytes of local systems mean, one package a dialect."""
