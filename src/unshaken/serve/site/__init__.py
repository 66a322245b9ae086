"""The pages of runs: a list of every run below some folders, and what is shown of each."""
