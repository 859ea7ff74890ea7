"""Recorded runs in the page: library, replay and recording."""
