"""The world of everyday objects, and training of the model that recognises them."""
