"""Common parts of the rendered worlds (`hermes.cards`, `hermes.things`): timelines, streams, questions, answers, scenery."""
