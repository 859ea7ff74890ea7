"""Recipes of the bundled runs."""
