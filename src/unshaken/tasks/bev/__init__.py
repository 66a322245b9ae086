"""Bird's-eye view: noise of depth losses, segmentation by the dice loss, boxes in metres and their average precision."""
