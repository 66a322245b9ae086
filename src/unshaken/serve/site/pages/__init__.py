"""The pages of runs, each with the forms that it takes."""
