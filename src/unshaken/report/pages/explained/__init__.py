"""The parts of the page of `unshaken explain`, a file a group of methods: each has a function `blocks`."""
