"""Published benchmarks of video question answering: annotation files, frames, prompts, scoring, judges and reports."""
