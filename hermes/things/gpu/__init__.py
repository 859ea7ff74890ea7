"""Training steps of the model of objects that need a GPU."""
