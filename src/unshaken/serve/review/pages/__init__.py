"""The pages of a review, each with the forms that it takes."""
