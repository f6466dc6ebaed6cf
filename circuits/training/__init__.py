"""Training dictionaries (torch): activations, one fast step, a loop that resumes, and metrics."""
