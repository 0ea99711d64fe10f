"""What will be made of a model, decided before any hour is spent."""
