"""Labels that training corrects: when a class may be corrected, and which pixels."""
