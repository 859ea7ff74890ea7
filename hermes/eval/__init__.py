"""Measurements of how well a model answers under a policy."""
