"""The memory board: encoding snapshots for the browser, details on request, evidence attribution."""
