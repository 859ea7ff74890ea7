"""The pocket model: a small video LLM trained from nothing on a world of coloured cards."""
