"""Methods that score how likely each given label is right, a file each."""
