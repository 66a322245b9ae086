"""Images that a generator made: their distance from real ones, what they cover, and which of them are copies."""
