"""Training that withstands wrong labels."""
