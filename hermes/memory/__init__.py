"""The memory: what is kept of a stream, and the paper's equations that decide it."""
