"""What all stressors share."""
