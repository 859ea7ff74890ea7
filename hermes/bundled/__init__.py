"""Recipes of the recorded runs that ship with the demo."""
