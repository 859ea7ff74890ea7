"""Memory of a stream: the KV cache, its archive, and the paper's equations for importance and re-indexing."""
