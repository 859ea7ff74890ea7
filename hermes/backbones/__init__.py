"""Video LLMs of transformers behind one interface; each family is one file with only its differences."""
