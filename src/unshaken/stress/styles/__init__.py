"""Photos made to look like other kinds of pictures: the six domains of COCO-O, as filters of stated recipe."""
