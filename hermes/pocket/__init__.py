"""Training of the pocket model, a small video LLM trained from scratch on a world of coloured cards."""
