"""What every run needs and no paper mentions."""
