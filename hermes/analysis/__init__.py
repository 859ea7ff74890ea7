"""Analysis of snapshots and answers: evidence attribution, token history, metrics and cache cost. Needs no torch."""
