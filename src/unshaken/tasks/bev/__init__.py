"""Bird's-eye view: noise of depth losses, maps and depth, boxes in metres and their average precision."""
