"""Guided lessons: format, validation, measurements and control."""
