"""The card world: timelines, rendering, questions and their true answers, and the bundled clips."""
