"""Tensor operations that policies share: scoring, merging, segmentation and retrieval."""
