"""What a model goes by: shape or texture, low or high frequencies, object or background; how simple its units are."""
