"""Reading untrusted files and writing output files: limits, checks and atomic replacement."""
