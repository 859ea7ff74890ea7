"""The model that recognises everyday objects: its world, its vision tower and its training."""
