"""The common corruptions of Hendrycks and Dietterich."""
