"""The page: Gradio blocks, one visitor's controls, and the memory board. It never imports torch."""
