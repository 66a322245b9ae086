"""The score endpoint: images in; class, calibrated probabilities, detectors' decision and checks out."""
