"""One stream and its memory: push frames, ask questions, take snapshots, save and load."""
