"""Measurements of speed and memory: one stream, random weights, many visitors; and the machine that they ran on."""
