"""Serving many streams: the engine, its scheduler, and the streams that a page drives."""
