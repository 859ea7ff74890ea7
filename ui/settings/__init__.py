"""Settings of a stream: policy settings and model loading."""
