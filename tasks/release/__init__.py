"""What happens to artifacts that passed: registration, promotion, the release's record and report."""
