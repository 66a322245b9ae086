"""Weight surgery: robustness as a file that is added to weights."""
