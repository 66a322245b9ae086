"""The metrics of maps, one file each."""
