"""Attribution methods: for each pixel, how much it counts for a class."""
