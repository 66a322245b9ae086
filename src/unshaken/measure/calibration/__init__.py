"""How far confidence and accuracy agree."""
