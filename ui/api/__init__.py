"""Public endpoints for programs: start a stream, push frames, ask, and read the memory."""
