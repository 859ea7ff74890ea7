"""The lab: policies compared on the same streams of the pocket world, with the truth known."""
