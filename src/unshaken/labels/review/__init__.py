"""Review of labels by people: verdicts, and the rules by which they become labels; no database, no pages."""
