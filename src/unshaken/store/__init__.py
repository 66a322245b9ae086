"""Run directories, row files, locks and leases: what is written and how; no plan, no method."""
