"""The Explore tab: plotly figures of one moment of a stream or recorded run, and the code that reproduces them."""
