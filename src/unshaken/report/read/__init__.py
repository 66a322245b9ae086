"""Reading a run directory: its rows as arrays and its configuration, without any figures."""
