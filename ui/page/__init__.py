"""The Gradio page: layout, events and the served document."""
