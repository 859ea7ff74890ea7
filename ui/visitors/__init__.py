"""Visitors: one per browser tab, with their files, connections and limits."""
