"""What labels become once they are doubted."""
