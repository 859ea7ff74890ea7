"""Video LLMs of transformers behind one interface: a family is one file that says only what differs."""
