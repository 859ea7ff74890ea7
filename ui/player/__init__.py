"""The stream and the chat: sources, clips and the payloads for the browser."""
